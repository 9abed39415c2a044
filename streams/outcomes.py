"""The outcome join: predictions and what turned out to be true in, labelled predictions out.

Predictions and outcomes share a key. One entry per event waits for the other side, in whatever order they come, and
stays after they met, so that a later or reversed outcome labels the predictions anew. After the horizon the entry is
gone; what comes then is joined in the database. See docs/outcomes.md.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, Self

from schemas.topics import Topic
from streams.runtime import Agent, Due, Frame, StateVersionError

Record = Mapping[str, Any]

FORMAT = 1
TIMEOUT = "timeout"
"""Source of a label that no outcome made, but that none came."""

KEPT = (
    "prediction_id",
    "model",
    "model_version",
    "calibration_version",
    "feature_set",
    "slot",
    "event_time",
    "probability",
    "interval_low",
    "interval_high",
    "risk_level",
    "decision",
    "held_out",
)
"""Of a prediction, what its labels repeat."""


class Verdict(NamedTuple):
    """What an outcome says. The greatest holds: the newest `decided_at`, of two at the same time the greater id.

    Attributes:
        decided_at: epoch milliseconds; 0 for a timeout, which every outcome replaces.
        outcome_id: of the outcome; empty for a timeout.
        label: whether it was what the model looks for; None where that could not be told.
        source: who or what said so.
        decided_by: in person; None where nobody did.
    """

    decided_at: int
    outcome_id: str
    label: bool | None
    source: str
    decided_by: str | None

    @property
    def rank(self) -> tuple[int, str]:
        return self.decided_at, self.outcome_id

    def about(self, event_time: int) -> dict[str, Any]:
        """What a label says of it, about an event of this time (epoch milliseconds)."""
        return {
            "label": self.label,
            "source": self.source,
            "label_version": self.decided_at,
            "outcome_id": self.outcome_id or None,
            "decided_by": self.decided_by,
            # A presumption is as old as its event.
            "decided_at": self.decided_at or event_time,
        }


PRESUMED = Verdict(0, "", False, TIMEOUT, None)
"""What holds where nobody says anything."""


@dataclass(frozen=True, slots=True)
class Join:
    """What is joined, and for how long.

    Attributes:
        predictions, outcomes, labelled: the topics; the first two with the same key.
        fault: what is wrong with an outcome; None for a good one.
        read: what a good outcome says.
        horizon: how long an event is remembered after the first record about it.
        presumed: so long after the prediction, without an outcome, the label is False; None: it stays unknown. Less
            than the horizon.
    """

    predictions: Topic
    outcomes: Topic
    labelled: Topic
    fault: Callable[[Record], str | None]
    read: Callable[[Record], Verdict]
    horizon: timedelta = timedelta(hours=48)
    presumed: timedelta | None = None

    def __post_init__(self) -> None:
        if self.presumed is not None and self.presumed >= self.horizon:
            raise ValueError(f"what is presumed after {self.presumed} is forgotten after {self.horizon}")

    def agent(self, name: str) -> Agent:
        """The agent that joins them."""
        return Agent(
            name=name,
            inputs=(self.predictions, self.outcomes),
            outputs=(self.labelled,),
            process=partial(_process, self),
            max_age=None,  # events were judged by their age before they were scored
            timers=True,
            linger_ms=25,
        )


@dataclass(slots=True)
class _Entry:
    """What is known about an event: its predictions by slot, and the verdict that holds."""

    predictions: dict[str, list[Any]] = field(default_factory=dict)
    verdict: Verdict | None = None
    ends: int = 0
    """When it is forgotten, epoch milliseconds."""

    def pack(self) -> bytes:
        return json.dumps([FORMAT, self.ends, self.verdict, self.predictions], separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        version, *rest = json.loads(raw)
        if version != FORMAT:
            raise StateVersionError(f"a waiting event is stored in format {version}, this release reads {FORMAT}")
        ends, verdict, predictions = rest
        return cls(predictions, None if verdict is None else Verdict(*verdict), ends)

    def labelled(self, tenant: str, subject: str, event_id: str, slots: list[str]) -> list[dict[str, Any]]:
        """The labels of these slots' predictions, as the verdict says."""
        verdict = self.verdict
        if verdict is None:
            return []
        whose = {"tenant_id": tenant, "subject": subject, "event_id": event_id}
        rows = [dict(zip(KEPT, self.predictions[slot], strict=True)) for slot in slots]
        return [row | whose | verdict.about(row["event_time"]) for row in rows]


def _process(join: Join, frame: Frame) -> None:
    rows: list[dict[str, Any]] = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            rows += _due(join, frame, moment)
            continue
        event = moment.value
        outcome = moment.topic == join.outcomes.name
        wrong = join.fault(event) if outcome else None
        if wrong is not None:
            frame.reject(moment.record, "InvalidOutcome", wrong)
            continue
        key, name = moment.record.key or b"", event["event_id"].encode()
        held = frame.timers.get(key, name)
        if held is None:
            ends = moment.record.timestamp + _milliseconds(join.horizon)
            entry, deadline = _Entry(ends=ends), ends
        else:
            deadline, entry = held[0], _Entry.unpack(held[1])
        if outcome:
            verdict = join.read(event)
            if entry.verdict is not None and verdict.rank <= entry.verdict.rank:
                continue
            entry.verdict = verdict
            news = sorted(entry.predictions)
        else:
            slot = event["slot"]
            stub = [event[name] for name in KEPT]
            if entry.predictions.get(slot) == stub:
                continue
            if not entry.predictions and join.presumed is not None and entry.verdict is None:
                deadline = min(entry.ends, moment.record.timestamp + _milliseconds(join.presumed))
            entry.predictions[slot] = stub
            news = [slot]
        frame.timers.set(key, name, deadline, entry.pack())
        rows += entry.labelled(*_whose(key), event["event_id"], news)
    frame.send(join.labelled, rows)


def _due(join: Join, frame: Frame, due: Due) -> list[dict[str, Any]]:
    """Presume what nobody said, or forget the event."""
    entry = _Entry.unpack(due.payload)
    if due.deadline >= entry.ends:
        return []
    rows: list[dict[str, Any]] = []
    if entry.verdict is None:
        entry.verdict = PRESUMED
        rows = entry.labelled(*_whose(due.key), due.name.decode(), sorted(entry.predictions))
    # An outcome may still come and replace what is presumed.
    frame.timers.set(due.key, due.name, entry.ends, entry.pack())
    return rows


def _whose(key: bytes) -> tuple[str, str]:
    tenant, subject = key.decode().split("|", 1)
    return tenant, subject


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
