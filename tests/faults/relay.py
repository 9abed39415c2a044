"""A topology without a domain that uses everything of the runtime, so that any mistake shows in its values.

    relay.left  --+
                  +--> pair (by person) --> relay.met --+
    relay.right --+                                     +--> gather (by device) --> relay.results
                                           relay.gauge --+

`pair` merges two inputs, counts per person and waits for the second half of a meeting with a timer; `gather` reads what
it says under another key, merges it with a third input and waits for silence. Every value depends on the order of all
that came before, on the partition's clock, on the timers and on settings that change meanwhile.
"""

import os
from typing import Any

from models.control import DEFAULTS
from schemas import topics
from schemas.topics import Topic
from streams.control import CONTROL
from streams.runtime import Agent, Due, Event, Frame, Part
from tests.faults.counting import STATE, ZERO, Count, step
from tests.faults.topology import BUG, PLANTED

DAY_MS = 86_400_000


def _topic(name: str, schema: str, key: str, time: str, id_: str, doc: str, inbound: bool = False) -> Topic:
    return Topic(f"relay.{name}", schema, (key,), time, id_, 30 * DAY_MS, doc, inbound=inbound)


def _inbound(name: str, doc: str) -> Topic:
    return _topic(name, "events.metrics", "host", "occurred_at", "event_id", doc, inbound=True)


def _outbound(name: str, doc: str) -> Topic:
    return _topic(name, "predictions.anomaly", "subject", "event_time", "prediction_id", doc)


LEFT = _inbound("left", "Opens a meeting of a person.")
RIGHT = _inbound("right", "Closes it.")
GAUGE = _inbound("gauge", "The level of a device.")
MET = _outbound("met", "What became of a meeting, by the device where it was.")
RESULTS = _outbound("results", "What the devices make of it.")

WAIT_MS = 400
"""A person's first half waits so long for the second one, where it does not say otherwise."""
QUIET_MS = 500
"""A device without news says so after this time, then after twice, and four times of it."""
QUIETER = 3
LINGER_MS = 25
SHARE = "anomaly_threshold"
"""A setting between 0 and 1: how much of every value counts."""
DEVICE, PATIENCE, POISON, SOUR, SPOILT = "device", "patience", "poison", "sour", "spoilt"
"""Names in `extra`: where it was; how long its timer waits, ms; `pair` raises over the record; `gather` does; its timer
raises."""


def _pack(count: Count) -> bytes:
    return STATE.pack(*count)


def _unpack(raw: bytes) -> Count:
    number, total, moving = STATE.unpack(raw)
    return number, total, moving


PERSON = Part("person", version=1, pack=_pack, unpack=_unpack)
PLACE = Part("place", version=1, pack=_pack, unpack=_unpack)
LEVEL = Part("level", version=1, pack=lambda level: repr(level).encode(), unpack=float)


def pair(frame: Frame) -> None:
    broken = BUG in os.environ
    for moment in frame.timeline():
        if isinstance(moment, Due):
            _alone(frame, moment)
        elif broken:
            raise KeyError(PLANTED)
        elif moment.topic == LEFT.name:
            _opened(frame, moment)
        else:
            _closed(frame, moment)


def gather(frame: Frame) -> None:
    broken = BUG in os.environ
    for moment in frame.timeline():
        if isinstance(moment, Due):
            _quiet(frame, moment)
        elif broken:
            raise KeyError(PLANTED)
        elif moment.topic == GAUGE.name:
            _gauged(frame, moment)
        else:
            _met(frame, moment)


# -- pair -------------------------------------------------------------------------------------------------

NAME = b"second half"


def _opened(frame: Frame, moment: Event) -> None:
    """The first half: from now on the second one is waited for; of several first halves the last counts."""
    event, key = moment.value, moment.record.key or b""
    _count(frame, PERSON, key, event, moment.record.timestamp)
    extra = event["extra"]
    order = SPOILT if SPOILT in extra else "once"
    deadline = moment.clock + int(extra.get(PATIENCE, WAIT_MS))
    frame.timers.set(key, NAME, deadline, f"{order} {int(extra[DEVICE])} {event['event_id']}".encode())
    if POISON in extra:
        raise ValueError(f"{event['event_id']} is poison")


def _closed(frame: Frame, moment: Event) -> None:
    event, key = moment.value, moment.record.key or b""
    output = _count(frame, PERSON, key, event, moment.record.timestamp)
    waited = frame.timers.get(key, NAME)
    frame.timers.cancel(key, NAME)
    what = "unknown" if waited is None else f"joined {waited[1].decode()}"
    if SOUR in event["extra"]:
        what = f"{SOUR} {what}"
    left = 0 if waited is None else waited[0] - moment.clock
    _say(frame, MET, output, f"d{int(event['extra'][DEVICE])}", what, float(left))
    if POISON in event["extra"]:
        raise ValueError(f"{event['event_id']} is poison")


def _alone(frame: Frame, due: Due) -> None:
    """Nobody came. The first time it waits once more."""
    order, device, event_id = due.payload.decode().split(" ")
    tenant, person = due.key.decode().split("|")
    event = _event(tenant, person, event_id, due.deadline, 1.0)
    output = _count(frame, PERSON, due.key, event, due.deadline)
    _say(frame, MET, output, f"d{device}", f"alone {order}", 0.0)
    if order == SPOILT:
        raise ValueError(f"{event_id} is spoilt")
    if order == "once":
        frame.timers.set(due.key, NAME, due.deadline + WAIT_MS, f"last {device} {event_id}".encode())


# -- gather -----------------------------------------------------------------------------------------------

SILENCE = b"silence"


def _gauged(frame: Frame, moment: Event) -> None:
    event, key = moment.value, moment.record.key or b""
    frame.state.put(key, LEVEL, 0.9 * (frame.state.get(key, LEVEL) or 1.0) + 0.1 * event["cpu_percent"])
    _await_silence(frame, key, moment.clock, 0)
    fact = _event(event["tenant_id"], event["host"], event["event_id"], event["occurred_at"], event["cpu_percent"])
    _result(frame, key, fact, "gauged", moment.record.timestamp, moment.clock)


def _met(frame: Frame, moment: Event) -> None:
    met, key = moment.value, moment.record.key or b""
    _await_silence(frame, key, moment.clock, 0)
    fact = _event(met["tenant_id"], met["subject"], met["prediction_id"], met["event_time"], met["features"][0])
    _result(frame, key, fact, met["advice"], moment.record.timestamp, moment.clock)
    if met["advice"].startswith(SOUR):
        raise ValueError(f"{met['event_id']} is sour")


def _quiet(frame: Frame, due: Due) -> None:
    times = int(due.payload) + 1
    if times < QUIETER:
        _await_silence(frame, due.key, due.deadline, times)
    tenant, device = due.key.decode().split("|")
    fact = _event(tenant, device, f"{tenant} {device} {due.deadline}", due.deadline, 1.0)
    _result(frame, due.key, fact, f"quiet {times}", due.deadline, due.deadline)


def _await_silence(frame: Frame, key: bytes, clock: int, times: int) -> None:
    frame.timers.set(key, SILENCE, clock + QUIET_MS * 2**times, b"%d" % times)


def _result(frame: Frame, key: bytes, fact: dict[str, Any], what: str, time: int, clock: int) -> None:
    fact["cpu_percent"] *= frame.state.get(key, LEVEL) or 1.0
    _say(frame, RESULTS, _count(frame, PLACE, key, fact, time), fact["host"], what, float(clock))


# -- both -------------------------------------------------------------------------------------------------


def _event(tenant: str, host: str, event_id: str, time: int, value: float) -> dict[str, Any]:
    return {"tenant_id": tenant, "host": host, "event_id": event_id, "occurred_at": time, "cpu_percent": value}


def _count(frame: Frame, part: Part[Count], key: bytes, event: dict[str, Any], time: int) -> dict[str, Any]:
    """Count an event under a key, as much of it as control says for this time; the output that says so."""
    share = frame.control.get(topics.CONTROL_THRESHOLDS.name, event["tenant_id"], SHARE, time)
    event = {**event, "cpu_percent": share * event["cpu_percent"]}
    count, output = step(frame.state.get(key, part) or ZERO, event)
    frame.state.put(key, part, count)
    output["control_offset"] = frame.control.offset
    return output


def _say(frame: Frame, topic: Topic, output: dict[str, Any], device: str, what: str, more: float) -> None:
    """The count of a key so far, and what has just happened."""
    output["subject"] = device
    output["prediction_id"] = f"{what.split(' ')[0]} {output['event_id']}"
    output["advice"] = what
    output["detail"]["more"] = more
    output["features"] = [output["detail"]["moving"]]
    frame.send(topic, [output])


SETTINGS = {place: default for place, default in DEFAULTS.items() if place[1] == SHARE}
PAIR = Agent("pair", (LEFT, RIGHT), (MET,), pair, LINGER_MS, timers=True, settings=SETTINGS)
GATHER = Agent("gather", (MET, GAUGE), (RESULTS,), gather, LINGER_MS, timers=True, settings=SETTINGS)
AGENTS = (PAIR, GATHER, CONTROL)
