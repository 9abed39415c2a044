"""Files of attendance become the vectors that the same records become."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fraud import heuristic
from models.fraud.replay import Replay
from producers.attendance import measured
from producers.tables import FileError
from tests.models.fraud.world import CALENDAR, ROSTER, SITES, event, references

EVENTS = [
    event(f"2026-03-{day:02}T{hour:02}:00", person_id=f"p-{person}", place=(52.5, 13.4), device_id="d-1")
    for day in range(2, 9)
    for hour in (8, 16)
    for person in (1, 2)
]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_file_is_measured_as_its_records_are(tmp_path: Path) -> None:
    files = [
        written(tmp_path / f"{name}.jsonl", records)
        for name, records in (("sites", SITES), ("calendars", [CALENDAR]), ("rosters", [ROSTER]))
    ]
    plain = np.concatenate([each.vectors for each in Replay(references()).measure(EVENTS)])

    def found(records: list[dict[str, Any]], **options: Any) -> tuple[list[str], bytes]:
        parts = list(measured(written(tmp_path / "events.jsonl", records), *files, **options))
        ids = [each["event_id"] for part in parts for each in part.events]
        return ids, np.concatenate([part.vectors for part in parts]).tobytes()

    ids = [each["event_id"] for each in EVENTS]
    assert found(EVENTS) == (ids, plain.tobytes())
    assert found([*EVENTS, EVENTS[3]]) == (ids, plain.tobytes()), "a repeat is left out"
    # Of several at one time those that stand first come first.
    backwards = EVENTS[::-1]
    in_time = sorted(backwards, key=lambda each: each["occurred_at"])
    assert found(backwards, sort=True)[0] == [each["event_id"] for each in in_time]
    assert found(backwards)[1] != plain.tobytes()
    scores = heuristic.probabilities(plain)
    assert scores.tolist() == [heuristic.probability(row) for row in plain.tolist()]


def test_a_bad_record_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "events.jsonl", [EVENTS[0], EVENTS[1] | {"kind": "LUNCH"}])
    with pytest.raises(FileError, match=r"events.jsonl, line 2: kind must be CHECK_IN or CHECK_OUT, not 'LUNCH'"):
        list(measured(file))
