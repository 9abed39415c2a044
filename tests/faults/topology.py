"""Agents of the fault tests themselves: small, so that a fault shows in the engine and nowhere else."""

import os

from schemas import topics
from streams.runtime import Agent, Frame, Part
from tests.faults.counting import STATE, ZERO, Count, step

PLANTED = "planted"
BUG = "WATCHFLOOR_PLANTED_BUG"
"""When this variable is set, the agent raises over every record: a bug, not bad input."""
POISON = "poison"
"""Hosts of this name make the agent raise over their samples alone."""


def _pack(count: Count) -> bytes:
    return STATE.pack(*count)


def _unpack(raw: bytes) -> Count:
    number, total, moving = STATE.unpack(raw)
    return number, total, moving


COUNT = Part("count", version=1, pack=_pack, unpack=_unpack)


def process(frame: Frame) -> None:
    broken = os.environ.get(BUG)
    out = []
    events = frame.decode()
    for record, event in zip(frame.records, events, strict=True):
        if broken:
            raise KeyError(PLANTED)
        if event["host"] == POISON:
            raise ValueError("this sample is poison")
        key = record.key or b""
        count, output = step(frame.state.get(key, COUNT) or ZERO, event)
        frame.state.put(key, COUNT, count)
        out.append(output)
    frame.send(topics.PREDICTIONS_ANOMALY, out)


COUNTER = Agent(name="counter", inputs=(topics.EVENTS_METRICS,), outputs=(topics.PREDICTIONS_ANOMALY,), process=process)
AGENTS = (COUNTER,)
