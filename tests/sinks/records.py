"""Records for the tests of the sink, and the rows that they must become."""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.metrics import NAMES
from schemas.topics import Topic
from sinks import tables
from sinks.tables import Table

# Rows must be within their retention while they are tested.
NOW_MS = int(time.time()) * 1000
MONTH_MS = int(datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the Kafka client hands it out."""

    raw: bytes | None
    at: int = 0
    key_bytes: bytes | None = b"local|h1"
    in_partition: int = 0
    time: int = NOW_MS

    def partition(self) -> int:
        return self.in_partition

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.raw

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None

    def __len__(self) -> int:
        return len(self.raw or b"")


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A sample of one of three hosts; a metric in three is null."""
    host = f"h{number % 3}"
    measured = {name: None if (number + n) % 3 == 0 else number / (n + 1) for n, name in enumerate(NAMES)}
    extra = {"disk_é": number / 3} if number % 4 == 0 else {}
    base = {"tenant_id": "local", "event_id": f"e{number}", "host": host, "occurred_at": NOW_MS + number * 1000}
    return {**base, **measured, "extra": extra, **changes}


def prediction(number: int, **changes: Any) -> dict[str, Any]:
    certain = number % 2 == 0
    base = {
        "tenant_id": "local",
        "prediction_id": str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128))),
        "event_id": f"e{number}",
        "subject": f"h{number % 3}",
        "model": "anomaly",
        "model_version": "detectors_v2",
        "calibration_version": "none",
        "feature_set": "metrics-1",
        "slot": "champion" if certain else "shadow:été",
        "event_time": NOW_MS + number * 1000,
        "probability": (number % 97) / 97,
        "interval_low": 0.25 if certain else None,
        "interval_high": 0.5 if certain else None,
        "interval_width": 0.25 if certain else None,
        "label_set_90": ["normal", "anomalous"][: number % 3] if certain else None,
        "label_set_95": [] if certain else None,
        "label_set_99": None,
        "calibration_score": 1.5 if certain else None,
        "risk_level": ("LOW", "MEDIUM", "HIGH", "CRITICAL")[number % 4],
        "decision": "clear",
        "certified": certain,
        "control_offset": -1,
        "features": [number / 3, None, -1.5][: number % 4],
        "contributions": {"cpu_percent": -0.5} if certain else None,
        "detail": {"cpu_percent/novelty": number / 7, "cpu_percent/static": 0.0},
        "advice": "look at the disks" if number % 5 == 0 else None,
        "held_out": number % 7 == 0,
        "fallback_reason": None,
        "scored_by": "stream",
    }
    return {**base, **changes}


def attended(number: int, **changes: Any) -> dict[str, Any]:
    """A check-in of one of three people; half of them have a phone and what it measures."""
    phone = number % 2 == 0
    base = {
        "tenant_id": "local",
        "event_id": f"a{number}",
        "person_id": f"p-{number % 3}",
        "site_id": "berlin-é",
        "kind": "CHECK_IN",
        "occurred_at": NOW_MS + number * 1000,
        "latitude": number / 7 if phone else None,
        "longitude": -number / 7 if phone else None,
        "gps_accuracy_m": 5.5 if phone else None,
        "fix_age_s": None,
        "mock_location": number % 4 == 0 if phone else None,
        "scheduled_start": NOW_MS if phone else None,
        "face_confidence": 0.75,
        "face_matched": phone,
        "device_id": f"d-{number % 5}" if phone else None,
        "allowed_sites": ["berlin-é", "x"][: number % 3] if phone else None,
        "published_at": NOW_MS + number,
        "own_roster": phone,
        "accounts_per_device_30d": 2.0 if phone else None,
        "accounts_on_device_5min": 1.0 if phone else None,
        "seconds_since_other_account": None,
        "device_offset": 7 * number,
    }
    return {**base, **changes}


def synced(number: int, **changes: Any) -> dict[str, Any]:
    """A sync of one of three users; half of the clients say which version they had."""
    told = number % 2 == 0
    base = {
        "tenant_id": "local",
        "event_id": f"s{number}",
        "user_id": f"u-{number % 3}",
        "device_id": f"d-{number % 5}" if told else None,
        "domain": "task",
        "entity_type": "job",
        "entity_id": f"j-{number % 7}é",
        "occurred_at": NOW_MS + number * 1000,
        "last_synced_at": NOW_MS - number if told else None,
        "fields_changed": ["status", "notes"][: number % 3],
    }
    return {**base, **changes}


def sync_outcome(number: int, **changes: Any) -> dict[str, Any]:
    """What came of sync `number`."""
    base = {
        "tenant_id": "local",
        "outcome_id": f"o{number}",
        "event_id": f"s{number}",
        "user_id": f"u-{number % 3}",
        "conflict_occurred": number % 4 == 0,
        "resolution": "theirs" if number % 4 == 0 else None,
        "decided_at": NOW_MS + number,
    }
    return {**base, **changes}


def reading(number: int, **changes: Any) -> dict[str, Any]:
    """A reading of a meter or, every other one, of a plate."""
    plate = number % 2 == 1
    base = {
        "tenant_id": "local",
        "event_id": f"r{number}",
        "source_type": "vehicle_entry" if plate else "meter_reading",
        "asset_id": f"m-{number % 3}é",
        "source_id": f"s{number}",
        "text": "AA-999" if plate else f"00{number}",
        "fingerprints": [f"{number:032x}"] * (number % 4) if plate else [],
        "value": None if plate else number / 3,
        "unit": None if plate else "kWh",
        "confidence": (number % 97) / 97,
        "engine": "tess",
        "engine_version": "5.3",
        "image_uri": f"s3://images/{number}",
        "occurred_at": NOW_MS + number * 1000,
        "published_at": NOW_MS + number,
        "captured": number % 5 == 0,
    }
    return {**base, **changes}


def capture(number: int, version: int, **changes: Any) -> dict[str, Any]:
    """Reading `number` as it was captured (version 1), and corrected."""
    made, corrected = reading(number), version > 1
    kept = "tenant_id event_id source_type asset_id source_id text fingerprints confidence engine engine_version"
    base = {name: made[name] for name in (*kept.split(), "image_uri", "occurred_at")} | {
        "capture_id": str(uuid.UUID(int=number + 300)),
        "version": NOW_MS + version if corrected else 0,
        "uncertainty": 1.0 if corrected else 0.5,
        "origin": "correction" if corrected else "low_confidence",
        "corrected_text": "00é" if corrected else None,
        "corrected_fingerprints": [f"{number:032x}"] if corrected else [],
        "wrong": (True, False, None)[number % 3] if corrected else None,
        "correction_type": "OCR_ERROR" if corrected else None,
        "corrected_by": "ines" if corrected else None,
        "decided_at": NOW_MS + version if corrected else None,
        "outcome_id": f"o{number}" if corrected else None,
    }
    return {**base, **changes}


def found_wrong(number: int, **changes: Any) -> dict[str, Any]:
    """What a correction says of reading `number`."""
    base = {
        "tenant_id": "local",
        "outcome_id": f"o{number}",
        "event_id": f"r{number}",
        "subject": f"meter_reading|m-{number % 3}é",
        "verdict": ("wrong", "right", "unsure")[number % 3],
        "decided_by": "ines",
        "decided_at": NOW_MS + number,
        "reason": "OCR_ERROR" if number % 3 == 0 else None,
    }
    return {**base, **changes}


def task(number: int, seq: int, **changes: Any) -> dict[str, Any]:
    """A version of the task to label reading `number`."""
    made = reading(number)
    kept = "tenant_id event_id source_type asset_id source_id text image_uri occurred_at"
    base = {name: made[name] for name in kept.split()} | {
        "task_id": str(uuid.UUID(int=number + 400)),
        "seq": seq,
        "state": ("open", "assigned", "labelled")[seq - 1],
        "reason": "implausible",
        "updated_at": NOW_MS + number + seq,
        "by": "ines" if seq > 1 else "system",
        "note": "été" if seq > 1 else None,
        "batch": "2026-11-22" if number % 2 else None,
        "propensity": 0.25 if number % 4 == 1 else None,
    }
    return {**base, **changes}


def alert(number: int, seq: int, **changes: Any) -> dict[str, Any]:
    base = {
        "tenant_id": "local",
        "alert_id": str(uuid.UUID(int=number + 1)),
        "seq": seq,
        "fingerprint": f"local|h1|{number}",
        "kind": "metric_static",
        "subject": "h1",
        "metric": "cpu_percent",
        "direction": "up",
        "state": "resolved" if seq == 3 else "open",
        "severity": "HIGH",
        "opened_at": NOW_MS + number,
        "updated_at": NOW_MS + number + seq,
        "resolved_at": NOW_MS + number + seq if seq == 3 else None,
        "count": seq * 2,
        "held_back": 0,
        "event_id": f"e{number}",
        "previous_alert_id": str(uuid.UUID(int=7)) if number == 2 else None,
        "score": 0.875,
        "value": 99.5,
        "expected": None,
        "limit": 90.0,
        "summary": "cpu_percent of h1 is over its limit",
        "evidence": {"samples": float(seq)},
        "by": "system",
        "reason": "opened",
        "runbook": "metric_static",
        "note": "été" if seq == 2 else None,
        "assignee": "omar" if seq > 1 else None,
        "escalation": seq - 1,
        "snoozed_until": NOW_MS + 3_600_000 if seq == 2 else None,
        "muted": "snoozed" if seq == 2 else None,
        "flapping": number == 4,
        "links": ["host:h1", "site:é"][: number % 3],
        "incident_id": str(uuid.UUID(int=number + 100)) if number % 2 else None,
        "verdict": "false_positive" if seq == 3 else None,
        "verdict_at": NOW_MS + seq if seq == 3 else None,
        "label_version": int(seq == 3),
    }
    return {**base, **changes}


def incident(number: int, seq: int, **changes: Any) -> dict[str, Any]:
    closed = seq == 3
    base = {
        "tenant_id": "local",
        "incident_id": str(uuid.UUID(int=number + 100)),
        "seq": seq,
        "state": ("candidate", "confirmed", "closed")[seq - 1],
        "severity": "HIGH",
        "link": "host:h1",
        "opened_at": NOW_MS + number,
        "updated_at": NOW_MS + number + seq,
        "closed_at": NOW_MS + number + seq if closed else None,
        "alerts": number + 1,
        "active": 0 if closed else number + 1,
        "alert_id": str(uuid.UUID(int=number + 1)),
        "summary": "cpu_percent of h1 is over its limit",
        "by": "ines" if closed else "system",
        "reason": "merged" if closed else "opened",
        "note": "été" if closed else None,
        "links": ["host:h2", "host:h3"][: number % 3],
        "related_incident_id": str(uuid.UUID(int=7)) if closed else None,
    }
    return {**base, **changes}


def ticket(number: int, seq: int, **changes: Any) -> dict[str, Any]:
    closed = seq == 3
    base = {
        "tenant_id": "local",
        "ticket_id": str(uuid.UUID(int=number + 200)),
        "seq": seq,
        "model": "fraud",
        "subject": f"p-{number}",
        "state": ("open", "in_progress", "closed")[seq - 1],
        "resolution": "confirmed" if closed else None,
        "severity": "CRITICAL",
        "opened_at": NOW_MS + number,
        "updated_at": NOW_MS + number + seq,
        "closed_at": NOW_MS + number + seq if closed else None,
        "event_ids": [f"e{number}-{each}" for each in range(number % 3 + 1)],
        "probability": 0.96,
        "interval_low": 0.91,
        "interval_high": 0.98,
        "model_version": "v20260401_060000",
        "summary": "check-in of p-1 at s-1: probability of fraud 96% (91% to 98%)",
        "by": "ines" if seq > 1 else "system",
        "reason": ("opened", "started", "closed")[seq - 1],
        "note": "été" if closed else None,
        "assignee": "ines" if seq > 1 else None,
        "purpose": ("decision", "audit")[number % 2],
    }
    return {**base, **changes}


def label(number: int, version: int, **changes: Any) -> dict[str, Any]:
    base = {
        "tenant_id": "local",
        "alert_id": str(uuid.UUID(int=number + 1)),
        "label_version": version,
        "verdict": ("true_positive", "false_positive")[version % 2],
        "by": "ines",
        "decided_at": NOW_MS + version,
        "event_id": f"e{number}",
        "opened_at": NOW_MS + number,
        "kind": "metric_static",
        "subject": "h1",
        "metric": "cpu_percent",
        "direction": "up",
        "severity": "HIGH",
        "score": 0.875,
    }
    return {**base, **changes}


def outcome(number: int, **changes: Any) -> dict[str, Any]:
    """A verdict on event `number` of one of three people."""
    base = {
        "tenant_id": "local",
        "outcome_id": f"o{number}",
        "event_id": f"e{number}",
        "person_id": f"h{number % 3}",
        "verdict": ("fraud", "genuine", "unsure")[number % 3],
        "decided_by": "ines",
        "decided_at": NOW_MS + number,
        "reason": "été" if number % 2 else None,
    }
    return {**base, **changes}


def judged(number: int, version: int, **changes: Any) -> dict[str, Any]:
    """A version of the label of prediction `number`."""
    made = prediction(number)
    kept = ("tenant_id", "prediction_id", "event_id", "subject", "model", "model_version", "calibration_version")
    also = ("feature_set", "slot", "event_time", "probability", "interval_low", "interval_high", "risk_level")
    base = {name: made[name] for name in (*kept, *also, "decision", "held_out")} | {
        "label": (True, False, None)[(number + version) % 3],
        "source": "supervisor" if version > 1 else "timeout",
        "label_version": NOW_MS + version if version > 1 else 0,
        "outcome_id": f"o{number}" if version > 1 else None,
        "decided_by": "ines" if version > 1 else None,
        "decided_at": NOW_MS + version,
    }
    return {**base, **changes}


def audit(number: int, **changes: Any) -> dict[str, Any]:
    refused = number % 3 == 2
    base = {
        "tenant_id": "*" if number % 2 else "local",
        "command_id": str(uuid.UUID(int=number)),
        "action": "undo" if number % 5 == 4 else "set",
        "name": "alert_budget",
        "outcome": "refused" if refused else "accepted",
        "code": "StaleVersion" if refused else None,
        "message": "alert_budget of local is 12",
        "asked": "12" if number % 5 != 4 else None,
        "expected_version": number,
        "previous_value": None if number == 0 else "10",
        "value": "12",
        "version": number + 1,
        "valid_from": None if number == 0 else NOW_MS + number,
        "command_offset": number,
        "by": "jane",
        "at": NOW_MS + number,
        "reason": "été",
    }
    return {**base, **changes}


def row(table: Table, record: Mapping[str, Any], partition: int, offset: int, timestamp: int) -> dict[str, Any]:
    """The row of a record, with times in epoch milliseconds and UUIDs as text."""
    origin = {tables.PARTITION: partition, tables.OFFSET: offset, tables.TIMESTAMP: timestamp}
    return {c.name: _stored(c.type, origin.get(c.field, record.get(c.field))) for c in table.columns}


def _stored(kind: str, value: Any) -> Any:
    if value is None and not kind.startswith("Nullable"):
        return [] if kind.startswith("Array") else {} if kind.startswith("Map") else ""
    return value


def selection(table: Table) -> str:
    """Columns in the form of row()."""
    return ", ".join(_selected(column.name, column.type) for column in table.columns)


def _selected(name: str, kind: str) -> str:
    if "DateTime64" in kind:
        return f"toUnixTimestamp64Milli({name}) AS {name}"
    if kind == "UUID":
        return f"toString({name}) AS {name}"
    return f"if({name} IS NULL, NULL, toString({name})) AS {name}" if "UUID" in kind else f"`{name}`"


def by_key(rows: Iterator[dict[str, Any]] | list[dict[str, Any]], *names: str) -> dict[Any, dict[str, Any]]:
    """Rows by their key. Fails when two have the same."""
    found: dict[Any, dict[str, Any]] = {}
    for each in rows:
        key = tuple(each[name] for name in names)
        assert key not in found, f"two rows of {key}"
        found[key] = each
    return found


def keyed(topic: Topic, record: dict[str, Any]) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    return topic.key_of(record), topic.codec.encode(record)
