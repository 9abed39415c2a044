"""The work on stock Faust with a Table: python stock.py --datadir STATE worker --without-web -l error."""

import faust
import work

app = faust.App(
    work.GROUP,
    broker="kafka://" + work.BOOTSTRAP,
    store="memory://",
    processing_guarantee=work.GUARANTEE or "at_least_once",
    topic_partitions=4,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    broker_max_poll_records=5000,
    stream_wait_empty=False,
)
RAW = {"key_type": bytes, "key_serializer": "raw", "value_type": bytes, "value_serializer": "raw"}
source, sink = app.topic(work.INPUT, **RAW), app.topic(work.OUTPUT, **RAW)
table = app.Table("state", partitions=4)  # JSON: with raw bytes the recovery of a table fails to decode, and hangs
step, meter = work.fastavro_step(), work.Meter()


@app.agent(source)
async def score(stream):
    async for event in stream.events():
        meter.begin()
        key = event.key.decode()
        new, prediction = step(table.get(key) or work.ZERO, event.value)
        table[key] = new
        await sink.send(key=event.key, value=prediction, timestamp=event.message.timestamp)
        meter.add()


if __name__ == "__main__":
    app.main()
