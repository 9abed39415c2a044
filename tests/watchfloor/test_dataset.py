"""`watchfloor dataset export`: what was known at a time, byte for byte the same whenever it is asked for."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from jobs import joining
from models.classifiers import Examples
from models.ocr.split import SPLITS, split
from models.registry import version_at
from schemas import topics
from sinks.labelled import Wanted, labelled
from sinks.migrate import migrate
from sinks.store import Store
from sinks.tables import LAST_MS
from tests.conftest import Access
from tests.sinks.records import NOW_MS, capture, found_wrong, outcome, prediction, sync_outcome
from tests.watchfloor.test_explain import write
from watchfloor.cli import main
from watchfloor.datasets import LABELLED

Record = dict[str, Any]
DAY_MS = 86_400_000
HAPPENED, SCORED, SAID, ASKED, SAID_AGAIN = (NOW_MS - days * DAY_MS for days in (30, 20, 15, 10, 5))
OUTCOMES: Mapping[str, tuple[Callable[..., Record], str, Record]] = {
    "fraud": (outcome, "person_id", {"verdict": "genuine"}),
    "conflict": (sync_outcome, "user_id", {"conflict_occurred": False}),
    "ocr_trust": (found_wrong, "subject", {"verdict": "right"}),
}
"""By model: its outcomes, whom they name, and what says that the event was what is usual."""


def made(model: str, number: int) -> Record:
    """The prediction of an event; every fifth one told its client something."""
    about, subject, _ = OUTCOMES[model]
    of_model = LABELLED[model]
    features = [number + place / 7 for place in range(len(of_model.feature_sets[of_model.largest]))]
    one = about(number)
    return prediction(
        number + 100 * list(OUTCOMES).index(model),
        model=model,
        slot="champion",
        feature_set=of_model.largest,
        features=features,
        event_id=one["event_id"],
        subject=one[subject],
        event_time=HAPPENED + number * 1000,
        advice="sync before editing" if number % 5 == 4 else None,
    )


@pytest.fixture(scope="module")
def store(clickhouse: Access, database: str) -> Store:
    """With twelve predictions of each model, of eight of which something was said, and four captures."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    for model, (about, _, _) in OUTCOMES.items():
        join = joining.JOINS[model]
        write(store, join.predictions, [made(model, number) for number in range(12)], SCORED)
        write(store, join.outcomes, [about(number, decided_at=SAID) for number in range(8)], SAID)
    write(store, topics.OCR_CAPTURES, [seen(number, 1) for number in range(4)], SCORED)
    write(store, topics.OCR_CAPTURES, [seen(number, 2) for number in range(3)], SAID)
    return store


def seen(number: int, look: int, **changes: Any) -> Record:
    return capture(number, look, occurred_at=HAPPENED + number) | changes


def say_more(store: Store) -> None:
    """Of the first event the contrary, and of one more something."""
    for model, (about, _, usual) in OUTCOMES.items():
        again = {"outcome_id": "again", "decided_at": SAID_AGAIN, **usual}
        write(store, joining.JOINS[model].outcomes, [about(number, **again) for number in (0, 9)], SAID_AGAIN)
    later = {"version": NOW_MS + 3, "corrected_text": "012", "wrong": False}
    write(store, topics.OCR_CAPTURES, [seen(number, 3, **later) for number in (0, 3)], SAID_AGAIN)


@pytest.fixture
def ready(store: Store, clickhouse: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    for name, value in {
        "WATCHFLOOR_HOME": str(tmp_path),
        **clickhouse.variables(store.database),
    }.items():
        monkeypatch.setenv(name, value)
    return store


def export(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["dataset", "export", *arguments])
    assert result.exit_code == code, result.output
    return result


def exported(folder: Path, name: str, *arguments: str) -> tuple[dict[str, Any], list[Record]]:
    """Manifest and rows."""
    out = folder / f"{name}.parquet"
    found = json.loads(export(name, "--tenant", "local", "--out", str(out), "--force", "--json", *arguments).stdout)
    assert json.loads((folder / f"{name}.parquet.json").read_text()) == found
    rows: list[Record] = pyarrow.parquet.read_table(out).to_pylist()
    assert len(rows) == found["rows"]
    return found, rows


def iso(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"


LABELS: Mapping[str, tuple[dict[int, bool], dict[int, bool]]] = {
    "fraud": (
        {0: True, 1: False, 3: True, 4: False, 6: True, 7: False},
        {0: False, 1: False, 3: True, 4: False, 6: True, 7: False, 9: False},
    ),
    # Silence for a day says that there was none; whoever was told something is left out.
    "conflict": (
        {0: True, **dict.fromkeys((1, 2, 3, 5, 6, 7, 8, 10, 11), False)},
        dict.fromkeys((0, 1, 2, 3, 5, 6, 7, 8, 10, 11), False),
    ),
    "ocr_trust": (
        {0: True, 1: False, 3: True, 4: False, 6: True, 7: False},
        {0: False, 1: False, 3: True, 4: False, 6: True, 7: False, 9: False},
    ),
}
"""Labels by event, before and after more was said."""


@pytest.mark.clickhouse
def test_what_was_known_at_a_time_stays_what_it_was(ready: Store, tmp_path: Path) -> None:
    then = ("--as-of", iso(ASKED))
    first = {name: exported(tmp_path, name, *then) for name in (*LABELLED, "ocr")}
    say_more(ready)
    for name, (manifest, rows) in first.items():
        assert exported(tmp_path, name, *then) == (manifest, rows)
        assert manifest["version"] == version_at(datetime.fromtimestamp(ASKED / 1000, UTC))
    for model, (before, after) in LABELS.items():
        about, _, _ = OUTCOMES[model]
        places = {about(number)["event_id"]: number for number in range(12)}
        now, rows = exported(tmp_path, model)
        for found, wanted in ((first[model][1], before), (rows, after)):
            assert {places[row["event_id"]]: row["label"] for row in found} == wanted
            assert [row["event_time"] for row in found] == sorted(row["event_time"] for row in found)
        assert now["positives"] == sum(after.values())
        assert now["digest"] != first[model][0]["digest"]
        names = LABELLED[model].feature_sets[now["feature_set"]]
        for row in rows:
            assert [row[name] for name in names] == made(model, places[row["event_id"]])["features"]
    # What is presumed weighs half, and what was held out stands for all that was told something.
    found = {row["event_id"]: (row["source"], row["weight"]) for row in exported(tmp_path, "conflict")[1]}
    assert (found["s1"], found["s5"], found["s10"]) == (("sync_result", 1.0), ("sync_result", 20.0), ("timeout", 0.5))
    # Nobody's scores are known before they were made, and no verdict before it came.
    before = ("fraud", "--tenant", "local", "--out", str(tmp_path / "x"), "--as-of", iso(SAID - DAY_MS))
    assert "no labelled cases" in export(*before, code=1).stderr
    # What training learns from has the same digest.
    late = list(joining.late(ready, "fraud", 0, NOW_MS))
    write(ready, topics.LABELLED_FRAUD, late)
    of_model = LABELLED["fraud"]
    count = len(of_model.feature_sets[of_model.largest])
    learned = Examples.of(*labelled(ready, Wanted("fraud", "local", of_model.largest, count, 0, LAST_MS, LAST_MS)))
    assert learned.digest == exported(tmp_path, "fraud")[0]["digest"]
    images(first["ocr"], exported(tmp_path, "ocr"))


def images(then: tuple[dict[str, Any], list[Record]], now: tuple[dict[str, Any], list[Record]]) -> None:
    """What people said that images show, with where it comes from."""
    assert [(row["image_uri"], row["label"], row["wrong"]) for row in then[1]] == [
        ("s3://images/0", "00é", True), ("s3://images/1", "00é", False), ("s3://images/2", "00é", None)
    ]  # fmt: skip
    assert [(row["image_uri"], row["label"], row["wrong"]) for row in now[1]] == [
        ("s3://images/0", "012", False), *((row["image_uri"], row["label"], row["wrong"]) for row in then[1][1:]),
        ("s3://images/3", "012", False),
    ]  # fmt: skip
    one = now[1][0]
    assert one["split"] == split("local", one["source_type"], one["asset_id"])
    assert one["read"] == seen(0, 1)["text"]
    wanted = seen(0, 3)
    for name in ("capture_id", "event_id", "engine", "outcome_id"):
        assert one["provenance"][name] == wanted[name]
    assert one["provenance"]["version"] == NOW_MS + 3
    assert wanted["corrected_by"] not in str(now[1])
    assert (now[0]["rows"], now[0]["wrong"], sum(now[0]["splits"].values())) == (4, 0, 4)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("ocr", "--feature-set", "ocr_v1"), "ocr has no features", 2),
        (("conflict", "--feature-set", "fraud_v1"), "conflict has conflict_v1, conflict_v2, not", 2),
        (("fraud", "--as-of", "2199-01-01T00:00:00Z"), "is still to come", 2),
        (("fraud", "--since", "2026-02-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"), "is after --until", 2),
        (("anomaly",), "is not one of", 2),
    ],
)
def test_what_cannot_be_exported(tmp_path: Path, arguments: tuple[str, ...], said: str, code: int) -> None:
    name, *more = arguments
    result = export(name, "--tenant", "local", "--out", str(tmp_path / "x.parquet"), *more, code=code)
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "x.parquet"
    there.write_bytes(b"mine")
    assert "--force overwrites it" in export("ocr", "--tenant", "local", "--out", str(there), code=1).stderr
    assert there.read_bytes() == b"mine"


def test_the_parts_have_their_shares() -> None:
    parts = [split("acme", "meter_reading", f"m-{number}") for number in range(5000)]
    for name, share in SPLITS:
        assert parts.count(name) / 5000 == pytest.approx(share, abs=0.02)
    # For good: a test set must not be learned from by the next release.
    assert [split("acme", "meter_reading", f"m-{number}") for number in range(20)].index("test") == 12
