"""The counting work on stock Faust with a Table, for comparison: python -m tests.faults.stock worker --without-web.

WATCHFLOOR_GUARANTEE is at_least_once or exactly_once. The Table's values are JSON: with raw bytes its recovery
decodes them as text, fails for every key and never ends.
"""

import os
from typing import Any

import faust

from schemas import topics
from tests.faults.counting import ZERO, step

SERVERS, PREFIX = os.environ["WATCHFLOOR_KAFKA"], os.environ["WATCHFLOOR_PREFIX"]
PARTITIONS = int(os.environ["WATCHFLOOR_PARTITIONS"])
SESSION_S = int(os.environ["WATCHFLOOR_SESSION_TIMEOUT_MS"]) / 1000

app = faust.App(
    f"{PREFIX}stock",
    broker=f"kafka://{SERVERS}",
    store="memory://",
    processing_guarantee=os.environ["WATCHFLOOR_GUARANTEE"],
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    broker_session_timeout=SESSION_S,
    broker_heartbeat_interval=SESSION_S / 5,
)
RAW: dict[str, Any] = {
    "key_type": bytes,
    "key_serializer": "raw",
    "value_type": bytes,
    "value_serializer": "raw",
}
source = app.topic(PREFIX + topics.EVENTS_METRICS.name, **RAW)
sink = app.topic(PREFIX + topics.PREDICTIONS_ANOMALY.name, **RAW)
table = app.Table("counts", partitions=PARTITIONS)


@app.agent(source)
async def count(stream: Any) -> None:
    decode, encode = topics.EVENTS_METRICS.codec.decode, topics.PREDICTIONS_ANOMALY.codec.encode
    async for event in stream.events():
        key = event.key.decode()
        number, total, moving = table.get(key) or ZERO
        table[key], output = step((number, total, moving), decode(event.value))
        await sink.send(key=event.key, value=encode(output))


if __name__ == "__main__":
    app.main()
