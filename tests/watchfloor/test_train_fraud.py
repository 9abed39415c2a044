"""`watchfloor train fraud` from files and ClickHouse; `watchfloor dataset export fraud`, which sees the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models.fraud import artifact
from models.fraud.evaluation import UNKNOWN
from models.identity import prediction_id
from models.registry import Place, Registry, Trust
from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from tests.watchfloor.attendance import OTHER, TENANT, options, simulated
from watchfloor import attendance_files as files
from watchfloor.cli import main
from watchfloor.event_files import Refused
from watchfloor.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("world"))


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance with a key."""
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WATCHFLOOR_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("WATCHFLOOR_TRUSTED_KEYS", str(tmp_path / "trusted"))
    monkeypatch.setenv("COLUMNS", "200")
    assert CliRunner().invoke(main, ["models", "keygen", "--name", "tests"]).exit_code == 0
    return tmp_path


def train(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["train", "fraud", "--tenant", TENANT, *arguments])
    assert result.exit_code == code, result.output
    return result


def report(*arguments: str) -> Any:
    return json.loads(train(*arguments, "--json").stdout)


def test_a_version_is_stored_that_scores(world: Path, keyed: Path) -> None:
    found = report(*options(world))
    assert (found["model"], found["tenant"], found["feature_set"]) == ("fraud", TENANT, "fraud_v2")
    assert found["training"]["source"] == "events.attendance.jsonl"
    assert found["metrics"]["pr_auc"] > found["metrics"]["heuristic_pr_auc"]
    settings = Settings()
    registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
    model = artifact.unpack(registry.load(Place("fraud", TENANT), found["version"]))
    scored = model.score(np.full((3, len(model.features)), np.nan))
    assert scored.interval is not None
    assert ((scored.probability > 0) & (scored.probability < 1)).all()
    verified = CliRunner().invoke(main, ["models", "verify"])
    assert verified.exit_code == 0, verified.output
    # The same cases and seed give the same model.
    again = report(*options(world), "--dry-run")
    assert again["training"]["digest"] == found["training"]["digest"]
    assert again["metrics"] == found["metrics"]


def test_other_kinds_and_features(world: Path, keyed: Path) -> None:
    said = train(*options(world), "--kind", "logistic", "--feature-set", "fraud_v1", "--dry-run").output
    assert "logistic on fraud_v1" in said
    assert "stored nowhere" in said


def test_nothing_from_after_until_is_learned(world: Path, keyed: Path) -> None:
    whole = report(*options(world), "--dry-run")
    middle = (whole["training"]["train"]["first_ms"] + whole["training"]["calibrate"]["last_ms"]) // 2
    half = report(*options(world), "--until", f"{np.datetime64(middle, 'ms')}Z", "--dry-run")
    assert half["training"]["calibrate"]["last_ms"] <= middle < whole["training"]["calibrate"]["last_ms"]


def test_too_few_cases_are_refused(world: Path, keyed: Path, tmp_path: Path) -> None:
    few = tmp_path / "outcomes.jsonl"
    few.write_text("".join((world / "outcomes.attendance.jsonl").read_text().splitlines(keepends=True)[:150]))
    assert "training needs 200 labelled cases" in train(*options(world, outcomes=few), code=3).stderr


def turned(world: Path, tmp_path: Path, tenant: str) -> Path:
    """The outcomes with every verdict on this tenant's events turned round."""
    other = {"fraud": "genuine", "genuine": "fraud", "unsure": "fraud"}
    path = tmp_path / f"turned-{tenant}.jsonl"
    with path.open("w") as file:
        for line in (world / "outcomes.attendance.jsonl").read_text().splitlines():
            one = json.loads(line)
            if one["tenant_id"] == tenant:
                one["verdict"] = other[one["verdict"]]
            file.write(json.dumps(one) + "\n")
    return path


def pooled(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["train", "fraud", "--pool", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_tenant_learns_from_nobody_and_the_global_model_from_who_lets_it(
    world: Path, keyed: Path, tmp_path: Path
) -> None:
    kind = ("--kind", "logistic")
    shared = pooled(*options(world), *kind, "--pooled", TENANT)
    assert shared["tenant"] == "*"
    assert list(shared["training"]["tenants"]) == [TENANT]
    # The labels of others change nothing.
    others = options(world, outcomes=turned(world, tmp_path, OTHER))
    again = pooled(*others, *kind, "--pooled", TENANT, "--dry-run")
    assert (again["training"], again["metrics"]) == (shared["training"], shared["metrics"])
    # The tenant's own model is the same, too, and is told with which of the two is to serve.
    own = report(*others, *kind)
    assert own["training"]["digest"] == shared["training"]["digest"]
    rung = own["training"]["ladder"]
    assert rung["serves"] == "global"
    assert (rung["gain"]["difference"], rung["gain"]["low"]) == (0.0, 0.0)
    assert rung["gain"]["positives"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--events", "{}"), "come together"),
        (("--sites", "{}"), "go with --events"),
        (("--pool",), "give a --tenant, or --pool"),
        (("--pooled", "acme"), "goes with --pool"),
    ],
)
def test_files_that_do_not_belong_together(world: Path, arguments: tuple[str, ...], said: str) -> None:
    given = [text.format(world / "control.sites.jsonl") for text in arguments]
    assert said in train(*given, code=2).stderr


@pytest.fixture(scope="module")
def logged(world: Path, clickhouse: Access, database: str) -> str:
    """The world's predictions and labels in the database; returns --until for all of them."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    # What is older than its retention would be gone at the next merge.
    for table in ("predictions", "labelled_predictions"):
        store.command(f"ALTER TABLE {database}.{table} REMOVE TTL")
    refused = Refused()
    known = files.references(
        *(world / f"control.{name}.jsonl" for name in ("sites", "calendars", "rosters")), refused, lambda *_: None
    )
    given = files.events(world / "events.attendance.jsonl", refused, lambda *_: None)
    said = files.verdicts(world / "outcomes.attendance.jsonl", refused, lambda *_: None)
    last = given[-1]["occurred_at"]
    predictions, labels = [], []
    for tenant, cases in files.cases(given, known, said, last, lambda *_: None).items():
        rows = zip(cases.ids, cases.times_ms.tolist(), cases.vectors.tolist(), cases.early.tolist(), strict=True)
        for number, (event, at, vector, label) in enumerate(rows):
            head = [tenant, prediction_id(tenant, "fraud", "champion", event), event, "p", "fraud"]
            head += ["heuristic_v1", "none", "fraud_v2", "champion", np.datetime64(at, "ms").astype(object), 0.25]
            features = [None if np.isnan(value) else value for value in vector]
            predictions.append([*head, "LOW", "clear", features, "stream", 0, number])
            if label == UNKNOWN:
                continue
            judged = ["supervisor", "jane", np.datetime64(at, "ms").astype(object)]
            labels.append([*head, "LOW", "clear", bool(label), at, *judged, 0, number])
            # What was said before it does not count.
            labels.append([*head, "LOW", "clear", not label, at - 1, *judged, 0, number])
    common = ["tenant_id", "prediction_id", "event_id", "subject", "model", "model_version", "calibration_version"]
    common += ["feature_set", "slot", "event_time", "probability", "risk_level", "decision"]
    place = ["source_partition", "source_offset"]
    client = clickhouse.client(database)
    client.insert("predictions", predictions, [*common, "features", "scored_by", *place])
    names = [*common, "label", "label_version", "source", "decided_by", "decided_at", *place]
    client.insert("labelled_predictions", labels, names)
    client.close()

    return f"{np.datetime64(last, 'ms')}Z"


@pytest.fixture
def until(keyed: Path, logged: str, clickhouse: Access, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE", clickhouse.url)
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE_USER", clickhouse.user)
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE_PASSWORD", clickhouse.password)
    monkeypatch.setenv("WATCHFLOOR_DATABASE", database)
    return logged


@pytest.mark.clickhouse
def test_from_the_database_comes_the_same_model(world: Path, until: str) -> None:
    stored = report("--until", until, "--dry-run")
    replayed = report(*options(world), "--until", until, "--dry-run")
    assert (stored["training"].pop("source"), replayed["training"].pop("source")) == (
        "clickhouse", "events.attendance.jsonl"
    )  # fmt: skip
    assert stored["training"] == replayed["training"]
    assert stored["metrics"] == replayed["metrics"]


@pytest.mark.clickhouse
def test_who_trains_as_of_a_time_does_not_know_what_is_said_later(
    until: str, clickhouse: Access, database: str
) -> None:
    """The last test of these: it changes labels."""
    before = report("--until", until, "--dry-run")
    Store(clickhouse.url, clickhouse.user, clickhouse.password, database).command(
        f"INSERT INTO {database}.labelled_predictions SELECT * REPLACE (label_version + 1 AS label_version, "
        f"now64(3) + INTERVAL 1 DAY AS decided_at, NOT label AS label) FROM {database}.labelled_predictions FINAL "
        f"WHERE tenant_id = '{TENANT}' ORDER BY event_time LIMIT 100"
    )
    after = report("--until", until, "--dry-run")
    counts = [sum(each["training"][part]["rows"] for part in ("train", "calibrate")) for each in (before, after)]
    assert 80 <= counts[0] - counts[1] <= 100
