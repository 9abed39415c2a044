"""Readings and corrections of the past through the same code as the stream: for training and evaluation."""

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Any, NamedTuple

from models.ocr.assets import NO_RULES, Assets, Event, Remembered, Rules, correct, corrected, measure, text_of, verdict
from models.ocr.redaction import NO_KEYS, Keys
from models.readings import CORRECTABLE_DAYS
from schemas.topics import DAY_MS, EVENTS_OCR, OUTCOMES_OCR

CORRECTABLE_MS = CORRECTABLE_DAYS * DAY_MS


class Reading(NamedTuple):
    """A reading with its vector."""

    event: Event
    row: list[float]


class Said(NamedTuple):
    """What a correction says of a reading: tenant, event id, verdict, and when it was given (epoch milliseconds)."""

    tenant: str
    event_id: str
    verdict: str
    decided_at: int


def replay(
    events: Iterable[Event], outcomes: Iterable[Event], rules: Rules = NO_RULES, keys: Keys = NO_KEYS
) -> Iterator[Reading | Said]:
    """Readings and corrections in the order in which they became known.

    Args:
        events: of events.ocr, valid, each once, by time.
        outcomes: of outcomes.ocr, valid, by time; those of no reading that may be corrected are left out.
    """
    assets = Assets()
    remembered: dict[tuple[bytes, str], Remembered] = {}
    first: Iterable[tuple[int, int, Any]] = ((event["occurred_at"], 0, event) for event in events)
    second: Iterable[tuple[int, int, Any]] = ((outcome["decided_at"], 1, outcome) for outcome in outcomes)
    for time, kind, record in merge(first, second, key=itemgetter(0, 1)):
        topic = OUTCOMES_OCR if kind else EVENTS_OCR
        key = topic.key_of(record)
        place = key, record["source_id"]
        if kind == 0:
            text = text_of(record, rules, keys)
            remembered[place] = Remembered.of(record, text)
            yield Reading(record, measure(assets, key, record, text, rules).row)
            continue
        reading = remembered.get(place)
        if reading is None or time - reading.occurred_at > CORRECTABLE_MS:
            continue
        was = corrected(record, rules, keys)
        said = verdict(record["source_type"], reading, was)
        correct(assets, key, record["source_type"], reading, was, said)
        remembered[place] = reading._replace(decided_at=time)
        yield Said(record["tenant_id"], reading.event_id, said, time)
