"""`watchfloor calibrate fraud` and `watchfloor certify fraud`: from labels to what workers go by."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from models.classifiers import artifact
from models.control import SETTINGS
from models.fraud.artifact import CALIBRATION, unpack_calibration
from models.fraud.training import learn
from models.registry import Place, Registry, Signer, Trust
from models.registry.activation import Post, value_of
from schemas.apply import Cluster
from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from tests.models.fraud.test_ladder import made
from tests.streams.control import command, judged, rows
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.timeout(180)]

VERSION = "v20260401_060000"
NOW = np.datetime64("now", "ms")


@pytest.fixture(scope="module")
def environment(
    kafka: str, prefix: str, clickhouse: Access, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Variables of an instance with topics, tables, keys and a model of fraud of acme."""
    home = tmp_path_factory.mktemp("calibrate")
    names = {
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        **clickhouse.variables(database),
        "WATCHFLOOR_HOME": str(home / "home"),
        "WATCHFLOOR_SIGNING_KEY": str(home / "key.pem"),
        "WATCHFLOOR_TRUSTED_KEYS": str(home / "trusted"),
        "COLUMNS": "200",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        settings = Settings()
        Cluster(settings.kafka).apply(all_wanted(settings))
        migrate(Store(clickhouse.url, clickhouse.user, clickhouse.password, database))
        told("models", "keygen", "--name", "tests", "--json")
        result = learn(made(1, 3), "fraud_v2", "logistic")
        registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
        signer = Signer.read(settings.signing_key)
        registry.publish(result.manifest("acme", VERSION, {}), artifact.pack(result.scorer), signer)
        yield names


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, code=code).stdout.splitlines()[0])


def hold(settings: Settings, *values: tuple[str, str]) -> None:
    """Let settings of acme hold, as the control agent tells them."""
    now = int(time.time() * 1000) - 1000
    names = [name for name, _ in values]
    asked = [
        command(number, json.dumps(value), names[:number].count(name), name=name, requested_at=now)
        for number, (name, value) in enumerate(values)
    ]
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    for topic, key, value in rows(judged(asked)):
        producer.produce(settings.prefix + topic.name, value, key)
    assert producer.flush(30) == 0


def log(access: Access, database: str, calibration: str, low: list[float], frauds: list[bool], vectors: Any) -> None:
    """Predictions of the model with their labels, an hour apart, the newest an hour ago."""
    predictions, labels = [], []
    for number, (p0, fraud, vector) in enumerate(zip(low, frauds, vectors, strict=True)):
        at = (NOW - np.timedelta64(len(low) - number, "h")).astype("datetime64[ms]").astype(object)
        ids = ["acme", str(uuid.uuid4()), f"{calibration}-{number}", "p-1", "fraud"]
        head = [*ids, VERSION, calibration, "fraud_v2", "champion", at, p0 + 0.05, p0, p0 + 0.1, "HIGH", "alert"]
        predictions.append([*head, [None if value != value else value for value in vector], "stream", 0, number])
        labels.append([*head, fraud, number, "supervisor", "jane", at, 0, number])
    common = ["tenant_id", "prediction_id", "event_id", "subject", "model", "model_version", "calibration_version"]
    common += ["feature_set", "slot", "event_time", "probability", "interval_low", "interval_high", "risk_level"]
    common += ["decision"]
    place = ["source_partition", "source_offset"]
    client = access.client(database)
    client.insert("predictions", predictions, [*common, "features", "scored_by", *place])
    names = ["label", "label_version", "source", "decided_by", "decided_at"]
    client.insert("labelled_predictions", labels, [*common, *names, *place])
    client.close()


def test_from_labels_to_a_calibration_and_a_certificate(
    environment: dict[str, str], clickhouse: Access, database: str, tmp_path: Path
) -> None:
    settings = Settings()
    assert "no trained model of fraud serves acme" in run("certify", "fraud", "--tenant", "acme", code=1).stderr
    cases = made(7, 3)
    # None of these would be a ticket: p0 is too low.
    log(clickhouse, database, VERSION, [0.5] * 800, cases.labels[:800].tolist(), cases.features[:800].tolist())
    active = Post("fraud").setting, value_of(Place("fraud", "acme"), VERSION)
    hold(settings, active)
    found = told("calibrate", "fraud", "--tenant", "acme", "--json")
    assert found["calibrates"] == {"model": "fraud of acme", "version": VERSION}
    assert (found["rows"], found["frauds"]) == (800, int(cases.labels[:800].sum()))
    version = found["version"]
    hold(settings, active, (Post(CALIBRATION).setting, value_of(Place(CALIBRATION, "acme"), version)))
    missing = told("certify", "fraud", "--tenant", "acme", "--json", code=1)
    assert (missing["calibration"], missing["since"], missing["missing"]) == (version, None, 11)
    # Reviews of the same version with the calibration that it was trained with prove nothing of this one.
    log(clickhouse, database, VERSION, [0.9] * 30, [True] * 30, cases.features[:30].tolist())
    assert told("certify", "fraud", "--tenant", "acme", "--json", code=1) == missing
    log(clickhouse, database, version, [0.85] * 17 + [0.95], [True] * 17 + [False], cases.features[:18].tolist())
    # Nobody is there to answer, so the certificate that it asks for is queued.
    asked = run("certify", "fraud", "--tenant", "acme", "--apply", "--wait", "0.5", "--json", code=4).stdout
    proved, queued = map(json.loads, asked.splitlines())
    assert (proved["reviews"], proved["correct"], proved["since"]) == (18, 17, 0.8)
    text = f"acme/@all/{VERSION}+{version}@0.8"
    assert (queued["name"], queued["value"]) == ("fraud_certificate", json.dumps(text))
    assert SETTINGS["fraud_certificate"].read(queued["value"]) == proved["certificate"] == text
    registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
    stored = unpack_calibration(registry.load(Place(CALIBRATION, "acme"), version))
    assert stored.fits(Place("fraud", "acme"), VERSION)
    assert not stored.fits(Place("fraud"), VERSION)
    assert "0 refused" in run("models", "verify").output

    named = ("calibrate", "fraud", "--tenant", "acme", "--version", VERSION, "--dry-run")
    file = tmp_path / "scores.csv"
    lines = [f"{score:.4f},{int(score > 0.9)},{'ab'[n % 2]}" for n, score in enumerate(np.linspace(0, 1, 300))]
    file.write_text("\n".join(["score,label,segment", *lines]))
    assert told(*named, "--csv", str(file), "--json")["rows"] == 300
    assert told(*named, "--csv", str(file), "--segment", "a", "--json")["rows"] == 150
    few = run(*named, "--csv", str(file), "--segment", "c", code=3).stderr
    assert "an interval needs 100 calibration cases" in few
    file.write_text("score,label\n0.5,maybe\n")
    assert "line 2: expected a score from 0 to 1 and a label" in run(*named, "--csv", str(file), code=1).stderr
    file.write_text("score,label\n" + "1.5,1\n" * 200)
    assert "scores must be 0 to 1" in run(*named, "--csv", str(file), code=1).stderr
    file.write_text("score\n0.5\n")
    assert "has no column label" in run(*named, "--csv", str(file), code=1).stderr


def test_what_serves_or_is_new_is_not_deleted(environment: dict[str, str]) -> None:
    """VERSION serves acme since the test before."""
    settings, place = Settings(), Place("fraud", "acme")
    hold(settings, (Post("fraud").setting, value_of(place, VERSION)))
    registry, signer = (
        Registry(settings.model_store, Trust.read(settings.trusted_keys)),
        Signer.read(settings.signing_key),
    )
    first = registry.load(place, VERSION)
    versions = [f"v202604{day:02}_060000" for day in range(2, 8)]
    for version in versions:
        registry.publish(replace(first.manifest, version=version), first.files, signer)
    delete = ("models", "delete", "fraud", "--tenant", "acme")
    assert "it serves acme" in run(*delete, VERSION, code=1).stderr
    assert "one of the five newest" in run(*delete, versions[1], code=1).stderr
    assert "has no version v20200101_000000" in run(*delete, "v20200101_000000", code=1).stderr
    assert "give a VERSION, or --old" in run(*delete, code=2).stderr
    assert told(*delete, "--old", "--dry-run", "--json")["deleted"] == versions[:1]
    assert registry.versions(place) == [VERSION, *versions]
    # It served a moment ago: who took its place may have to be rolled back.
    hold(
        settings,
        (Post("fraud").setting, value_of(place, VERSION)),
        (Post("fraud").setting, value_of(place, versions[-1])),
    )
    assert "it served acme within 30 days" in run(*delete, VERSION, code=1).stderr
    assert told(*delete, "--old", "--json")["deleted"] == versions[:1]
    assert registry.versions(place) == [VERSION, *versions[1:]]
