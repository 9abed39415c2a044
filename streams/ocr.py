"""The agent of OCR readings, keyed by asset: redaction, trust score, captures; corrections and what they confirm.

What comes in may hold personal data; nothing that goes out or is remembered does. See docs/ocr.md.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np

from models.control import DEFAULTS, STATE_LEVEL
from models.identity import derived_id, prediction_id
from models.ocr import heuristic, policy
from models.ocr.artifact import NAME
from models.ocr.assets import (
    Assets,
    Measured,
    Remembered,
    Rules,
    Text,
    correct,
    corrected,
    measure,
    text_of,
    verdict,
)
from models.ocr.device import Device, unpack_device
from models.ocr.features import NAMES, OCR_V1
from models.ocr.gate import Gate
from models.ocr.labeling import IMPLAUSIBLE
from models.ocr.meter import Meter, unpack_meter
from models.ocr.redaction import NO_KEYS, Keys
from models.readings import CORRECTABLE_DAYS, RIGHT, UNSURE, VEHICLE, WRONG, event_fault, outcome_fault
from models.registry.activation import Post
from schemas import topics
from streams.repeats import hashed
from streams.runtime import Agent, Control, Due, Frame, Halt, Part, StateVersionError
from streams.runtime.frame import Event as Moment
from streams.scoring import Scoring
from streams.serving import NO_MODELS, Models

SLOT = "champion"
REMEMBERED_MS = 7 * topics.DAY_MS
"""So long the id of an event is known; by the partition's clock."""
CORRECTABLE_MS = CORRECTABLE_DAYS * topics.DAY_MS
FORMAT = 1
HASH = 8
FLAGS, THRESHOLDS = topics.CONTROL_FLAGS.name, topics.CONTROL_THRESHOLDS.name
LOW_CONFIDENCE, CORRECTION = "low_confidence", "correction"
UNKEYED = "no secret is set for fingerprints: plates are not compared"

DEVICE = Part("device", version=1, pack=Device.pack, unpack=unpack_device)
METER = Part("meter", version=1, pack=Meter.pack, unpack=unpack_meter)

SCORING = Scoring(Post(NAME), NAMES, ("right", "wrong"), heuristic.probabilities, heuristic.VERSION)

Event = dict[str, Any]


class GateState(Gate):
    """A gate in the state of a partition."""

    @classmethod
    def load(cls, key: bytes, read: Callable[[bytes], bytes | None]) -> Self:
        """Raises Halt: without all slots, what follows would be wrong for every record."""
        try:
            return super().load(key, read)
        except ValueError as error:
            raise Halt(str(error)) from error


@dataclass(slots=True)
class Out:
    """What a frame gives, by its topics."""

    cases: list[tuple[Event, int, Measured]] = field(default_factory=list)
    readings: list[Event] = field(default_factory=list)
    captures: list[Event] = field(default_factory=list)
    verdicts: list[Event] = field(default_factory=list)
    tasks: list[Event] = field(default_factory=list)


def process(frame: Frame, models: Models = NO_MODELS, keys: Keys = NO_KEYS) -> None:
    state = frame.state
    assets = Assets(state.values(DEVICE), state.values(METER), lambda key: state.live(key, GateState))
    out = Out()
    for moment in frame.timeline():
        if isinstance(moment, Due):
            continue  # a reading and its event's id are forgotten
        if moment.topic == topics.OUTCOMES_OCR.name:
            _outcome(frame, moment, assets, keys, out)
        else:
            _reading(frame, moment, assets, keys, out)
    table = np.array([measured.row for _, _, measured in out.cases], dtype=np.float64).reshape(-1, len(NAMES))
    asked = [(event["tenant_id"], time) for event, time, _ in out.cases]
    said = SCORING.score(frame.control, models, asked, table)
    unkeyed = keys.secret is None
    predictions = [
        prediction(event, measured, fields, frame.control.offset, unkeyed)
        for (event, _, measured), fields in zip(out.cases, said, strict=True)
    ]
    frame.send(topics.PREDICTIONS_OCR_TRUST, predictions)
    frame.send(topics.OCR_READINGS, out.readings)
    frame.send(topics.OCR_CAPTURES, out.captures)
    frame.send(topics.OCR_VERDICTS, out.verdicts)
    frame.send(topics.OCR_LABELING_TASKS, out.tasks)


def rules_of(control: Control, tenant: str, time: int) -> Rules:
    """What a tenant demands at a record timestamp (epoch milliseconds)."""
    plain = control.get(FLAGS, tenant, policy.PLAIN, time)
    return Rules(plain, control.get(THRESHOLDS, tenant, policy.COUNTRIES, time))


def _reading(frame: Frame, moment: Moment, assets: Assets, keys: Keys, out: Out) -> None:
    record, event = moment.record, moment.value
    wrong = event_fault(event)
    if wrong is not None:
        frame.reject(record, "InvalidEvent", wrong)
        return
    tenant, time, key = event["tenant_id"], record.timestamp, record.key or b""
    rules = rules_of(frame.control, tenant, time)
    text = text_of(event, rules, keys)
    name = b"e" + hashed(event["event_id"], HASH)
    # A remembered id is a timer, whose payload tells a repeat from an event that took somebody's name. It is a hash of
    # what may be kept: one of a plate could be found out by trying.
    rest = [event[each] for each in sorted(event.keys() - {"raw_text", "value"})]
    content = hashed(repr([text.identity, text.value, *rest]), HASH)
    held = frame.timers.get(key, name)
    if held is not None:
        if held[1] != content:
            frame.reject(record, "ConflictingEvent", f"event_id {event['event_id']!r} came before with other content")
        return
    frame.timers.set(key, name, moment.clock + REMEMBERED_MS, content)
    remembered = Remembered.of(event, text)
    frame.timers.set(key, _place(event["source_id"]), moment.clock + CORRECTABLE_MS, _pack(remembered))
    measured = measure(assets, key, event, text, rules)
    out.cases.append((event, time, measured))
    threshold = frame.control.get(THRESHOLDS, tenant, policy.CAPTURE[event["source_type"]], time)
    captured = event["confidence"] < threshold
    kept = {each: value for each, value in event.items() if each != "raw_text"}
    redacted = {"text": text.kept.text, "fingerprints": text.kept.fingerprints}
    out.readings.append(kept | redacted | {"value": text.value, "published_at": time, "captured": captured})
    if captured:
        out.captures.append(capture(tenant, event["source_type"], event["asset_id"], remembered))
    if measured.ask:
        out.tasks.append(task(event, text))


def _outcome(frame: Frame, moment: Moment, assets: Assets, keys: Keys, out: Out) -> None:
    record, outcome = moment.record, moment.value
    wrong = outcome_fault(outcome)
    if wrong is not None:
        frame.reject(record, "InvalidOutcome", wrong)
        return
    tenant, source, asset = outcome["tenant_id"], outcome["source_type"], outcome["asset_id"]
    key, place = record.key or b"", _place(outcome["source_id"])
    held = frame.timers.get(key, place)
    if held is None:
        name = f"{source} {outcome['source_id']!r} of {asset!r}"
        frame.reject(record, "NoSuchReading", f"no reading {name} came in the last {CORRECTABLE_DAYS} days")
        return
    until, reading = held[0], _unpack(held[1])
    by, at = outcome["corrected_by"], outcome["decided_at"]
    own = outcome["outcome_id"] or derived_id(tenant, source, asset, outcome["source_id"], by, str(at))
    if (at, own) <= (reading.decided_at, reading.outcome_id):
        return  # a repeat, or overruled
    was = corrected(outcome, rules_of(frame.control, tenant, record.timestamp), keys)
    said = verdict(source, reading, was)
    correct(assets, key, source, reading, was, said)
    frame.timers.set(key, place, until, _pack(reading._replace(decided_at=at, outcome_id=own)))
    out.captures.append(
        capture(tenant, source, asset, reading)
        | {
            "version": at,
            "uncertainty": 1.0,
            "origin": CORRECTION,
            "corrected_text": was.kept.text,
            "corrected_fingerprints": was.kept.fingerprints,
            "wrong": None if said == UNSURE else said == WRONG,
            "correction_type": outcome["correction_type"],
            "corrected_by": by,
            "decided_at": at,
            "outcome_id": own,
        }
    )
    out.verdicts.append(
        {
            "tenant_id": tenant,
            "outcome_id": own,
            "event_id": reading.event_id,
            "subject": f"{source}|{asset}",
            "verdict": said,
            "decided_by": by,
            "decided_at": at,
            "reason": None if said == RIGHT else outcome["correction_type"],
        }
    )


def _place(source_id: str) -> bytes:
    """Name of the timer that remembers a reading."""
    return b"r" + hashed(source_id, HASH)


def _pack(reading: Remembered) -> bytes:
    return json.dumps([FORMAT, *reading], separators=(",", ":")).encode()


def _unpack(raw: bytes) -> Remembered:
    version, *values = json.loads(raw)
    if version != FORMAT:
        raise StateVersionError(f"a reading is stored in format {version}, this release reads {FORMAT}")
    return Remembered(*values)


def capture(tenant: str, source_type: str, asset: str, reading: Remembered) -> Event:
    """The capture of a reading, as the engine left it."""
    names = ("event_id", "source_id", "occurred_at", "confidence", "engine", "engine_version", "image_uri", "text")
    absent = ("corrected_text", "wrong", "correction_type", "corrected_by", "decided_at", "outcome_id")
    return {
        "tenant_id": tenant,
        "capture_id": derived_id(tenant, "ocr.captures", reading.event_id),
        "version": 0,
        "source_type": source_type,
        "asset_id": asset,
        **{name: getattr(reading, name) for name in names},
        "fingerprints": reading.fingerprints,
        "uncertainty": 1.0 - reading.confidence,
        "origin": LOW_CONFIDENCE,
        "corrected_fingerprints": [],
        **dict.fromkeys(absent),
    }


def task(event: Event, text: Text) -> Event:
    """The task to look at the last of several readings that speak against what is confirmed."""
    names = ("tenant_id", "event_id", "source_type", "asset_id", "source_id", "occurred_at", "image_uri")
    return {
        **{name: event[name] for name in names},
        "task_id": derived_id(event["tenant_id"], IMPLAUSIBLE, event["event_id"]),
        "seq": 1,
        "state": "open",
        "reason": IMPLAUSIBLE,
        "text": text.kept.text,
        "updated_at": event["occurred_at"],
        "by": "system",
        "note": "three readings in a row agree with each other, and not with what is confirmed",
        "batch": None,
        "propensity": None,
    }


def prediction(event: Event, measured: Measured, fields: Event, offset: int, unkeyed: bool) -> Event:
    """The prediction record of a reading."""
    tenant, event_id = event["tenant_id"], event["event_id"]
    reasons = [fields["fallback_reason"], UNKEYED if unkeyed and event["source_type"] == VEHICLE else None]
    return {
        **fields,
        "tenant_id": tenant,
        "event_id": event_id,
        "prediction_id": prediction_id(tenant, NAME, SLOT, event_id),
        "subject": f"{event['source_type']}|{event['asset_id']}",
        "model": NAME,
        "feature_set": OCR_V1,
        "slot": SLOT,
        "event_time": event["occurred_at"],
        "control_offset": offset,
        "features": [value if value == value else None for value in measured.row],
        "advice": measured.advice,
        "held_out": False,
        "fallback_reason": "; ".join(reason for reason in reasons if reason)[:1000] or None,
        "scored_by": "stream",
    }


def agent(models: Models = NO_MODELS, keys: Keys = NO_KEYS) -> Agent:
    """The agent with the models and keys of its worker."""
    return Agent(
        name="ocr",
        inputs=(topics.EVENTS_OCR, topics.OUTCOMES_OCR),
        outputs=(
            topics.PREDICTIONS_OCR_TRUST,
            topics.OCR_READINGS,
            topics.OCR_CAPTURES,
            topics.OCR_VERDICTS,
            topics.OCR_LABELING_TASKS,
        ),
        process=partial(process, models=models, keys=keys),
        timers=True,
        settings=DEFAULTS,
        level=STATE_LEVEL,
    )


OCR = agent()
