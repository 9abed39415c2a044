"""Files of attendance become the vectors that the same records become."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.fraud import heuristic
from models.fraud.replay import Replay
from tests.models.fraud.world import CALENDAR, ROSTER, SITES, event, references
from watchfloor import attendance_files as files
from watchfloor.event_files import Refused, Verdicts

EVENTS = [
    event(f"2026-12-{day}T{hour:02}:00", person_id=f"p-{person}", place=(52.5, 13.4), device_id="d-1")
    for day in range(20, 27)
    for hour in (8, 16)
    for person in (1, 2)
]


def test_a_file_is_measured_as_its_records_are(tmp_path: Path) -> None:
    def written(name: str, records: list[dict[str, Any]]) -> Path:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    def told(what: str, share: float) -> None:
        assert 0 <= share <= 1

    refused = Refused()
    given = written("sites", SITES), written("calendars", [CALENDAR]), written("rosters", [ROSTER])
    known = files.references(*given, refused, told)
    # Repeats, the order of the file and what is no event change nothing.
    bad = EVENTS[1] | {"kind": "LUNCH"}
    events = files.events(written("events", [*EVENTS[5:], bad, *EVENTS[:9]]), refused, told)
    (found,) = files.cases(events, known, Verdicts({}), 0, told).values()
    assert sorted(found.ids) == sorted(each["event_id"] for each in EVENTS)
    plain = np.concatenate([each.vectors for each in Replay(references()).measure(events)])
    assert found.vectors.tobytes() == plain.tobytes()
    assert heuristic.probabilities(plain).tolist() == [heuristic.probability(row) for row in plain.tolist()]
    assert refused.examples == ["events.jsonl, line 24: kind must be CHECK_IN or CHECK_OUT, not 'LUNCH'"], refused.count
