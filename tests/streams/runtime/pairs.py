"""An agent without a domain over two inputs: it waits for the second of a pair, and says who stayed alone."""

from typing import Any

from schemas.topics import Topic
from streams.runtime import Agent, Due, Frame, Part
from streams.runtime.frame import InputRecord
from tests.faults.counting import ZERO, step
from tests.streams.runtime.tally import NOW, sample

FOREVER = 1 << 50
FIRST = Topic("first", "events.metrics", ("host",), "occurred_at", "event_id", FOREVER, "Opens a pair.")
SECOND = Topic("second", "events.metrics", ("host",), "occurred_at", "event_id", FOREVER, "Closes it.")
PAIRS = Topic(
    "pairs", "predictions.anomaly", ("subject",), "event_time", "prediction_id", FOREVER, "What became of it."
)
WAIT_MS = 5_000
AGAIN, SPOILT, POISON = "again", "spoilt", "poison"
"""Names in `extra`: the timer sets itself once more; the timer raises; the record raises."""

NUMBER = Part("number", version=1, pack=lambda n: n.to_bytes(4, "big"), unpack=lambda raw: int.from_bytes(raw, "big"))


def say(frame: Frame, key: bytes, event_id: str, what: str, at: int) -> None:
    """One output; it carries a count of the key's outputs, so that order and repetition show."""
    numbers = frame.state.values(NUMBER)
    number = numbers[key] = (numbers[key] or 0) + 1
    tenant, host = key.decode().split("|")
    event = {"event_id": event_id, "tenant_id": tenant, "host": host, "occurred_at": at, "cpu_percent": float(number)}
    frame.send(PAIRS, [step(ZERO, event)[1] | {"advice": what}])


def process(frame: Frame) -> None:
    for moment in frame.timeline():
        if isinstance(moment, Due):
            order, event_id = moment.payload.decode().split(" ")
            say(frame, moment.key, event_id, f"alone {order}", moment.deadline)
            if order == SPOILT:
                raise ValueError(f"{event_id} is spoilt")
            if order == AGAIN:
                frame.timers.set(moment.key, moment.name, moment.deadline + WAIT_MS, f"last {event_id}".encode())
            continue
        topic, record, event, _ = moment
        key, name = record.key or b"", event["event_id"].encode()
        if POISON in event["extra"]:
            frame.timers.set(key, b"never", 0)
            raise ValueError(f"{event['event_id']} is poison")
        if topic == FIRST.name:
            order = next((order for order in (AGAIN, SPOILT) if order in event["extra"]), "once")
            frame.timers.set(key, name, event["occurred_at"] + WAIT_MS, f"{order} {event['event_id']}".encode())
        elif frame.timers.deadline(key, name) is None:
            say(frame, key, event["event_id"], "unknown", event["occurred_at"])
        else:
            frame.timers.cancel(key, name)
            say(frame, key, event["event_id"], "joined", event["occurred_at"])


AGENT = Agent(name="pairing", inputs=(FIRST, SECOND), outputs=(PAIRS,), process=process, timers=True)


def one(topic: Topic, number: int, seconds: float, offset: int, *orders: str, host: str = "h") -> InputRecord:
    """The record of a pair's number, published and occurred `seconds` after NOW."""
    at = NOW + int(seconds * 1000)
    event = sample(number, *orders, host=host, at=at)
    return InputRecord(topic.key_of(event), topic.codec.encode(event), at, offset, (), topic.name)


def said(rows: list[tuple[bytes | None, bytes | None]]) -> list[tuple[str, str | None, float]]:
    """Event id, what became of it, and after how many seconds."""
    events: list[dict[str, Any]] = [PAIRS.codec.decode(value) for _, value in rows if value]
    return [(event["event_id"], event["advice"], (event["event_time"] - NOW) / 1000) for event in events]
