"""`watchfloor models activate` and its kin, with a worker on a real broker."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from models.anomaly import forest_artifact
from models.anomaly.forest_trainer import train
from models.identity import PLATFORM
from models.metrics import NAMES
from models.registry import Place, Registry, Signer, Trust
from producers.offsets import bounds
from schemas import topics
from schemas.apply import Cluster
from tests.worker import serving
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

MODEL = forest_artifact.NAME
VERSIONS = ("v20260921_120000", "v20260922_120000")


@pytest.fixture(scope="module")
def environment(kafka: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of an instance with topics, keys and two versions of a forest for all tenants."""
    home = tmp_path_factory.mktemp("activation")
    names = {
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
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
        run("keygen", "--name", "tests")
        values = np.random.default_rng(3).uniform(0, 1, (1200, len(NAMES)))
        forest, training = train(np.arange(1200) * 60_000, values, seed=1)
        registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
        for version in VERSIONS:
            manifest = forest_artifact.describe(forest, training, version, "*")
            registry.publish(manifest, forest_artifact.pack(forest), Signer.read(settings.signing_key))
        yield names


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["models", *arguments])
    assert result.exit_code == code, result.output
    return result


def change(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--reason", "why", "--by", "jane", "--wait", "60", "--json", code=code).stdout)


def served() -> dict[str, str]:
    """Version by tenant."""
    found = json.loads(run("active", "--json").stdout)
    return {row["tenant"]: row["version"].rpartition("/")[2] for row in found["active"]}


def candidates(settings: Settings) -> list[dict[str, Any]]:
    topic = settings.prefix + topics.ALERTS_CANDIDATES.name
    reader = Consumer({"bootstrap.servers": settings.kafka, "group.id": "nobody", "enable.auto.commit": False})
    try:
        parts = [(number, *bounds(reader, topic, number)) for number in range(settings.partitions)]
        count = sum(end - begin for _, begin, end in parts)
        reader.assign([TopicPartition(topic, number, begin) for number, begin, _ in parts])
        found = [topics.ALERTS_CANDIDATES.codec.decode(one.value() or b"") for one in reader.consume(count, 10)]
    finally:
        reader.close()
    return found


def test_versions_come_and_go(environment: dict[str, str]) -> None:
    settings = Settings()
    assert "No trained model serves" in run("active").output
    with serving(environment, "control", "metrics") as worker:
        assert change("activate", MODEL, VERSIONS[0])["outcome"] == "accepted"
        assert change("activate", MODEL, "--tenant", "acme", "--from", "*")["version"] == 1
        assert served() == {"*": VERSIONS[0], "acme": VERSIONS[1]}
        assert change("activate", MODEL)["version"] == 2
        assert served()["*"] == VERSIONS[1]
        change("rollback", MODEL)
        assert served() == {"*": VERSIONS[0], "acme": VERSIONS[1]}
        change("deactivate", MODEL, "--tenant", "acme")
        assert served() == {"*": VERSIONS[0], "acme": "none"}
        change("deactivate", "--all")
        assert "All trained models are off" in run("active").output
        change("reactivate")
        assert served() == {"*": VERSIONS[0], "acme": "none"}
        change("activate", MODEL, VERSIONS[1])
        deadline = time.monotonic() + 30
        while not worker.said(f"{VERSIONS[1]} is loaded") and time.monotonic() < deadline:
            time.sleep(0.1)

    # While no worker runs, somebody changes what serves.
    file = Path(settings.model_store) / Place(MODEL).path / VERSIONS[1] / forest_artifact.ARRAYS
    file.chmod(0o640)
    file.write_bytes(file.read_bytes()[:-1])
    refused = run("activate", MODEL, VERSIONS[1], "--tenant", "acme", "--from", "*", "--reason", "why", code=1)
    assert "forest.npz was cut off" in refused.stderr
    with serving(environment, "control", "metrics"):
        deadline = time.monotonic() + 60
        while not (told := candidates(settings)) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert [(one["tenant_id"], one["kind"], one["severity"]) for one in told] == [
        (PLATFORM, "artifact_refused", "CRITICAL")
    ]
    assert "forest.npz was cut off" in told[0]["summary"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("activate", MODEL, "--tenant", "acme", "--from", "other"), "not other's"),
        (("activate", MODEL, "v20200101_000000"), "has no version v20200101_000000"),
        (("activate", "fortune"), "there is no version"),
        (("activate", MODEL, "--slot", "boss"), "a slot must be"),
        (("deactivate",), "give a MODEL, or --all"),
        (("deactivate", "--all", "--tenant", "acme"), "it takes no --tenant"),
    ],
)
def test_what_cannot_be_is_said_in_words(environment: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["models", *arguments, "--reason", "why"])
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.stderr.split())
