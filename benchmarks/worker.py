"""The work on Watchfloor's own runtime: what `python -m benchmarks.worker` runs as one more contender.

Settings come from the environment, as for the peers; besides, BENCH_LINGER_MS, BENCH_SESSION_MS and
BENCH_METRICS_PORT, where the runtime's figures are served.
"""

import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import start_http_server

from benchmarks.peers import work
from schemas.codec import Codec, codec_for
from schemas.topics import DAY_MS, Topic
from streams import app
from streams.runtime import Agent, Frame, Part
from streams.runtime.metrics import Metrics

CODECS: dict[str, Codec] = {"attendance": codec_for(work.ATTENDANCE), "prediction": codec_for(work.PREDICTION)}


@dataclass(frozen=True, slots=True)
class RawTopic(Topic):
    """A topic whose values are bare Avro bodies, as those of the peers."""

    @property
    def codec(self) -> Codec:
        return CODECS[self.schema]


def topic(name: str, schema: str) -> RawTopic:
    return RawTopic(name, schema, key=None, time="ts", id=None, retention_ms=DAY_MS, doc="Benchmark.")


INPUT, OUTPUT = topic(work.INPUT, "attendance"), topic(work.OUTPUT, "prediction")
PACKED = struct.Struct("<q11d")


def pack(state: work.State) -> bytes:
    return PACKED.pack(*state)


PERSON = Part("s", version=1, pack=pack, unpack=PACKED.unpack)
METER = work.Meter()


def process(frame: Frame) -> None:
    """The same step as everywhere, over a frame."""
    METER.begin()
    events = frame.decode()
    persons, step, encode = frame.state.values(PERSON), work.step, OUTPUT.codec.encode
    rows = []
    for record, event in zip(frame.records, events, strict=True):
        key = record.key
        assert key is not None
        persons[key], prediction = step(persons[key] or work.ZERO, event)
        rows.append((key, encode(prediction)))
    frame.send_encoded(OUTPUT, rows)
    METER.add(len(events))


def main() -> None:
    metrics = Metrics()
    port = int(os.environ.get("BENCH_METRICS_PORT", "0"))
    if port:
        start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    agent = Agent(work.GROUP, (INPUT,), (OUTPUT,), process, linger_ms=int(os.environ.get("BENCH_LINGER_MS", "0")))
    built = app.build(
        [agent],
        servers=work.BOOTSTRAP,
        session_timeout_ms=int(os.environ.get("BENCH_SESSION_MS", "10000")),
        data=Path(work.STATE),
        metrics=metrics,
    )
    logging.basicConfig(level=logging.WARNING)
    app.serve(built, loglevel=logging.WARNING)


if __name__ == "__main__":
    main()
