"""The work on bytewax, at least once: state snapshots of the changed keys every second on the local disk.

python -m bytewax.recovery STATE 1 && python -m bytewax.run bytewax_flow:flow -r STATE -s 1 -b 0
"""

import bytewax.operators as op
import work
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

step, meter = work.fastavro_step(), work.Meter()


def score(state, message):
    meter.begin()
    new, prediction = step(state or work.ZERO, message.value)
    meter.add()
    return new, KafkaSinkMessage(message.key, prediction)


flow = Dataflow("peer")
events = op.input("in", flow, KafkaSource([work.BOOTSTRAP], [work.INPUT], batch_size=1000))
keyed = op.key_on("key", events, lambda message: message.key.decode())
scored = op.stateful_map("score", keyed, score)
predictions = op.map("value", scored, lambda pair: pair[1])
op.output(
    "out",
    predictions,
    KafkaSink([work.BOOTSTRAP], work.OUTPUT, add_config={"partitioner": "murmur2_random", "linger.ms": "5"}),
)
