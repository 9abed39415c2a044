"""`watchfloor evaluate conflict` and `watchfloor train conflict` on a small simulated world."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models.conflict.artifact import unpack
from models.conflict.evaluation import CONTENDERS
from models.identity import prediction_id
from models.registry import EVERYONE, Place, Registry, Trust
from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from watchfloor.cli import main
from watchfloor.settings import Settings

HOUR = 3_600_000


def watchfloor(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sync")
    watchfloor("simulate", "sync", "--tenants", "2", "--users", "20", "--days", "9", "--seed", "4", "--out", str(out))
    return out


def options(world: Path, outcomes: str = "outcomes.sync.jsonl") -> list[str]:
    return ["--events", str(world / "events.sync.jsonl"), "--outcomes", str(world / outcomes)]


def test_the_report_compares_all_models_on_what_came_later(world: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.jsonl"
    found = json.loads(watchfloor("evaluate", "conflict", *options(world), "--scores", str(scores), "--json").stdout)
    given = lines(world / "events.sync.jsonl")
    assert found["events"] == found["predictions"] == len(given)
    assert found["first"] < found["train_until"] < found["last"]
    names = [str(contender) for contender in CONTENDERS]
    assert list(found["all"]) == names
    assert all(one["fallback"] is None for one in found["all"].values())
    worth = {name: one["roc_auc"] for name, one in found["all"].items()}
    assert worth["logistic conflict_v1"] > 0.75
    assert worth["logistic conflict_v2"] > worth["logistic conflict_v1"] > worth["heuristic conflict_v1"]
    rows = found["all"][names[0]]["rows"]
    assert rows == sum(part["events"] for part in found["tenants"].values())
    written = lines(scores)
    assert len(written) == rows * len(names)
    assert {line["model"] for line in written} == {contender.name for contender in CONTENDERS}
    assert len(written[0]) == 9
    # What comes to be known later changes what models are judged by, not what they learned.
    until = found["train_until"]
    late = [one for one in lines(world / "outcomes.sync.jsonl") if one["decided_at"] > _ms(until)]
    wrong = [
        one | {"conflict_occurred": not one["conflict_occurred"], "decided_at": one["decided_at"] + 1} for one in late
    ]
    changed = world / "changed.jsonl"
    changed.write_text("".join(f"{json.dumps(one)}\n" for one in [*lines(world / "outcomes.sync.jsonl"), *wrong]))
    again = json.loads(
        watchfloor("evaluate", "conflict", *options(world, "changed.jsonl"), "--train-until", until, "--json").stdout
    )
    for name in names:
        assert again["all"][name]["version"] == found["all"][name]["version"]
        assert again["all"][name]["roc_auc"] != found["all"][name]["roc_auc"]


def _ms(text: str) -> int:
    return int(np.datetime64(text.rstrip("Z"), "ms").astype(np.int64))


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance with a key."""
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WATCHFLOOR_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("WATCHFLOOR_TRUSTED_KEYS", str(tmp_path / "trusted"))
    watchfloor("models", "keygen", "--name", "tests")
    return tmp_path


def test_a_version_is_stored_that_scores(world: Path, keyed: Path) -> None:
    found = json.loads(
        watchfloor("train", "conflict", *options(world), "--feature-set", "conflict_v1", "--json").stdout
    )
    assert (found["model"], found["tenant"], found["feature_set"]) == ("conflict", EVERYONE, "conflict_v1")
    assert found["metrics"]["roc_auc"] > found["metrics"]["heuristic_roc_auc"]
    settings = Settings()
    registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
    stored = registry.load(Place("conflict"), found["version"])
    assert "model.json" in stored.files
    assert ((scores := unpack(stored).score(np.zeros((3, 12))).probability) > 0).all()
    assert (scores < 1).all()
    few = world / "few.jsonl"
    few.write_text("".join((world / "events.sync.jsonl").read_text().splitlines(keepends=True)[:60]))
    arguments = ["train", "conflict", "--events", str(few), *options(world)[2:], "--dry-run"]
    assert "training needs 100 labelled cases" in watchfloor(*arguments, code=3).stderr


@pytest.mark.clickhouse
def test_training_from_the_database_leaves_out_who_was_advised(
    keyed: Path, clickhouse: Access, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE", clickhouse.url)
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE_USER", clickhouse.user)
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE_PASSWORD", clickhouse.password)
    monkeypatch.setenv("WATCHFLOOR_DATABASE", database)
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    chance = np.random.default_rng(1)
    last = int(store.query("SELECT toUnixTimestamp64Milli(now64(3)) AS now")[0]["now"])
    predictions, labels = [], []
    for number in range(400):
        at = np.datetime64(last - (400 - number) * HOUR, "ms").astype(object)
        conflict, advised, held_out = chance.random() < 0.3, number % 4 == 0, number % 4 == 1
        vector = (chance.random(12) + conflict).tolist()
        event = f"e-{number}"
        head = ["acme", prediction_id("acme", "conflict", "champion", event), event, "ana", "conflict"]
        head += ["heuristic_v1", "none", "conflict_v2", "champion", at, 0.25, "HIGH", "clear", held_out]
        predictions.append([*head, vector, "sync before editing" if advised else None, "stream", 0, number])
        labels.append([*head, conflict, 1, "timeout" if number % 3 == 0 else "sync_result", at, 0, number])
    common = ["tenant_id", "prediction_id", "event_id", "subject", "model", "model_version", "calibration_version"]
    common += ["feature_set", "slot", "event_time", "probability", "risk_level", "decision", "held_out"]
    place = ["source_partition", "source_offset"]
    client = clickhouse.client(database)
    client.insert("predictions", predictions, [*common, "features", "advice", "scored_by", *place])
    client.insert("labelled_predictions", labels, [*common, "label", "label_version", "source", "decided_at", *place])
    client.close()
    found = json.loads(watchfloor("train", "conflict", "--tenant", "acme", "--dry-run", "--json").stdout)
    training = found["training"]
    assert 200 < training["train"]["rows"] + training["calibrate"]["rows"] <= 300 * 0.85
    assert (training["source"], found["tenant"]) == ("clickhouse", "acme")
