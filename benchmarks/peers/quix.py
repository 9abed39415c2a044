"""The work on quixstreams, exactly once: state in RocksDB, changelog in Kafka, commit every BENCH_COMMIT_MS."""

import work
from quixstreams import Application

app = Application(
    broker_address=work.BOOTSTRAP,
    consumer_group=work.GROUP,
    processing_guarantee="exactly-once",
    auto_offset_reset="earliest",
    state_dir=work.STATE,
    commit_interval=work.COMMIT_MS / 1000,
    loglevel="WARNING",
)
source = app.topic(work.INPUT, value_deserializer="bytes", key_deserializer="bytes")
sink = app.topic(work.OUTPUT, value_serializer="bytes", key_serializer="bytes")
step, meter = work.fastavro_step(), work.Meter()


def score(value, state):
    meter.begin()
    new, prediction = step(state.get("s") or work.ZERO, value)
    state.set("s", new)
    meter.add()
    return prediction


app.dataframe(source).apply(score, stateful=True).to_topic(sink)
app.run()
