"""`watchfloor models` and `watchfloor train`: keys, training from files and from ClickHouse, what is refused."""

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

import watchfloor
from models.anomaly import forest_artifact
from models.anomaly.forest_trainer import train
from models.metrics import NAMES
from models.registry import Place, Registry, Signer, Trust
from sinks import samples
from sinks.migrate import migrate
from sinks.store import Store
from tests.conftest import Access
from watchfloor.cli import main
from watchfloor.commands import train as command

DAY_MS, MINUTE_MS = 86_400_000, 60_000
BEGIN_MS = 1_760_000_000_000 // MINUTE_MS * MINUTE_MS
HOSTS = {"db-1": 1500, "web-1": 1200, "web-2": 400}


def values(host: str, count: int) -> NDArray[np.float64]:
    """Nine metrics that follow one load; NaN where missing, db metrics only on a database."""
    rng = np.random.default_rng(len(host) + count)
    load = rng.uniform(0, 1, (count, 1))
    out = np.array([40, 5, 1e6, 3e6, 50, 4, 10, 60, 0.01]) * (0.2 + load) * np.exp(rng.normal(0, 0.15, (count, 9)))
    out[:, 8] = np.minimum(out[:, 8], 1.0)
    out[rng.random(out.shape) < 0.02] = np.nan
    if not host.startswith("db"):
        out[:, 4:6] = np.nan
    return out


def times(count: int) -> NDArray[np.int64]:
    return BEGIN_MS + np.arange(count) * MINUTE_MS


def sample(tenant: str, host: str, number: int, row: NDArray[np.float64], at_ms: int) -> dict[str, Any]:
    measured = {name: value for name, value in zip(NAMES, row.tolist(), strict=True) if not np.isnan(value)}
    return {"tenant_id": tenant, "event_id": f"{host}-{number}", "host": host, "occurred_at": at_ms} | measured


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hosts' samples, mixed, some twice, and a stranger's."""
    rows = [
        sample("acme", host, number, row, at_ms)
        for host, count in HOSTS.items()
        for number, (row, at_ms) in enumerate(zip(values(host, count), times(count).tolist(), strict=True))
    ]
    rows += [*rows[:50], rows[0] | {"tenant_id": "other", "event_id": "x"}]
    order = np.random.default_rng(1).permutation(len(rows) - 51)
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    lines = [rows[at] for at in order] + rows[-51:]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


class Machine:
    """A machine with keys of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "WATCHFLOOR_HOME": str(folder / "home"),
            "WATCHFLOOR_SIGNING_KEY": str(folder / "keys" / "key.pem"),
            "WATCHFLOOR_TRUSTED_KEYS": str(folder / "keys" / "trusted"),
            "COLUMNS": "200",
        }

    def run(self, *arguments: str, code: int = 0, **more: str) -> Result:
        done = CliRunner().invoke(main, list(arguments), env=self.variables | more)
        assert done.exit_code == code, done.output
        return done

    def told(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    @property
    def registry(self) -> Registry:
        return Registry(str(self.folder / "home" / "models"), Trust.read(self.folder / "keys" / "trusted"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def keyed(machine: Machine) -> Machine:
    machine.run("models", "keygen", "--name", "tests")
    return machine


# -- keys ---------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_trusted_here(machine: Machine) -> None:
    made = machine.told("models", "keygen", "--name", "jane, build server")
    path = Path(made["private_key"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Trust.read(Path(made["trusted_keys"])).keys[made["id"]].line == made["public_key"]
    before = path.read_bytes()
    again = machine.run("models", "keygen", code=1)
    assert "is there already; a key is never overwritten" in again.stderr
    assert path.read_bytes() == before
    assert "".join(path.read_text().splitlines()[1:-1]) not in json.dumps(made) + again.output


def test_a_key_may_be_left_untrusted(machine: Machine) -> None:
    assert machine.told("models", "keygen", "--no-trust")["trusted_keys"] is None
    assert not (machine.folder / "keys" / "trusted").exists()


def test_a_key_is_not_put_where_it_would_be_copied(machine: Machine) -> None:
    inside = (
        (machine.folder / "home" / "key.pem", "WATCHFLOOR_HOME"),
        (machine.folder / "store" / "key.pem", "WATCHFLOOR_MODELS"),
        (Path(watchfloor.__file__).parent / "key.pem", "Watchfloor's own code"),
    )
    store = str(machine.folder / "store")
    for path, said in inside:
        done = machine.run("models", "keygen", code=1, WATCHFLOOR_SIGNING_KEY=str(path), WATCHFLOOR_MODELS=store)
        assert said in done.stderr
        assert not path.exists()


def test_credentials_do_not_belong_in_the_address(machine: Machine) -> None:
    done = machine.run("models", "list", code=1, WATCHFLOOR_MODELS="s3://me:hunter2@bucket/models")
    assert "credentials belong where" in done.stderr


# -- training from a file -----------------------------------------------------------------------------------


def test_training_needs_a_key_that_is_trusted(machine: Machine, file: Path) -> None:
    arguments = ("train", "forest", "--tenant", "acme", "--file", str(file))
    assert "there is no private key at" in machine.run(*arguments, code=1).stderr
    machine.run("models", "keygen", "--no-trust")
    assert "whatever it signs would be refused here. Add this line" in machine.run(*arguments, code=1).stderr
    assert machine.run(*arguments, "--dry-run").stdout.endswith("1 trained, stored nowhere (--dry-run)\n")
    assert not (machine.folder / "home" / "models").exists()


def test_one_forest_of_a_tenant(keyed: Machine, file: Path) -> None:
    report = keyed.told("train", "forest", "--tenant", "acme", "--file", str(file), "--seed", "3")
    assert (report["skipped"], report["stored"]) == ([], True)
    (trained,) = report["trained"]
    about = trained["training"]
    assert (trained["model"], trained["tenant"], trained["subject"]) == ("isolation_forest", "acme", "")
    assert (about["hosts"], about["samples"], about["source"]) == (3, 3100, "samples.jsonl")
    assert (about["trained"], about["calibrated"], about["seed"]) == (2480, 620, 3)
    assert (about["first_ms"], about["last_ms"]) == (BEGIN_MS, BEGIN_MS + 1499 * MINUTE_MS)

    artifact = keyed.registry.load(Place("isolation_forest", "acme"), trained["version"])
    assert (artifact.key, artifact.manifest.training) == ("tests", about)
    all_times = np.concatenate([times(count) for count in HOSTS.values()])
    order = np.argsort(all_times, kind="stable")
    vectors = np.concatenate([values(host, count) for host, count in HOSTS.items()])[order]
    expected, _ = train(all_times[order], vectors, seed=3)
    assert artifact.files == forest_artifact.pack(expected)


def test_a_forest_for_each_host(keyed: Machine, file: Path) -> None:
    report = keyed.told("train", "forest", "--tenant", "acme", "--file", str(file), "--each-host")
    assert [each["subject"] for each in report["trained"]] == ["db-1", "web-1"]
    (skipped,) = report["skipped"]
    assert (skipped["host"], skipped["samples"]) == ("web-2", 400)
    assert "at least 1000 samples of the last 30 days, there are 400" in skipped["reason"]
    assert report["trained"][1]["training"]["missing"]["db_query_ms"] == 1.0
    expected, _ = train(times(1200), values("web-1", 1200))
    place = Place("isolation_forest", "acme", "web-1")
    (version,) = keyed.registry.versions(place)
    assert keyed.registry.load(place, version).files == forest_artifact.pack(expected)


def test_the_report_for_people(keyed: Machine, file: Path) -> None:
    done = keyed.run("train", "forest", "--tenant", "acme", "--file", str(file), "--host", "web-1")
    assert "isolation_forest of acme, web-1, v20" in done.stdout
    assert "range     2025-10-09 08:53:00Z to 2025-10-10 04:52:00Z" in done.stdout
    assert "1,200 of 1 host, 1,200 used: 960 trained, the newest 240 calibrated" in done.stdout
    assert "db_connections 100.0%, db_query_ms 100.0%" in done.stdout
    assert "p-value   0.05 from a score of 0." in done.stdout
    assert f"1 trained, stored at {keyed.folder}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--tenant", "acme", "--host", "web-2"), 3, "at least 1000 samples of the last 30 days, there are 400"),
        (("--tenant", "acme", "--host", "no-1"), 3, "there are no samples of no-1 of tenant acme in"),
        (("--tenant", "nobody"), 3, "there are no samples of tenant nobody in"),
        (("--tenant", "acme", "--until", "2025-10-09T09:00:00Z"), 3, "there are 24"),
        (("--tenant", "No"), 2, "expected 1 to 63 of a-z"),
        (("--tenant", "acme", "--host", "a", "--host", "b"), 2, "several hosts need --each-host"),
    ],
)
def test_what_cannot_be_trained_is_said(
    keyed: Machine, file: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = keyed.run("train", "forest", "--file", str(file), *arguments, code=code)
    assert said in done.stderr
    assert list(keyed.registry.places()) == []


def test_a_bad_line_is_named(keyed: Machine, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"tenant_id": "acme", "event_id": "e", "host": "h", "occurred_at": 1, "cpu_percent": 101}\n')
    done = keyed.run("train", "forest", "--tenant", "acme", "--file", str(path), code=1)
    assert "bad.jsonl, line 1: cpu_percent must be 0 to 100" in done.stderr


def test_versions_beyond_five_are_named_and_stay(keyed: Machine, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("train", "forest", "--tenant", "acme", "--host", "db-1", "--file", str(file))
    monkeypatch.setattr(command, "version_at", lambda _: "v20260101_060000")
    keyed.run(*arguments)
    place = Place("isolation_forest", "acme", "db-1")
    first = keyed.registry.load(place, "v20260101_060000")
    for day in range(2, 6):
        later = replace(first.manifest, version=f"v2026010{day}_060000")
        keyed.registry.publish(later, first.files, Signer.read(keyed.folder / "keys" / "key.pem"))
    monkeypatch.setattr(command, "version_at", lambda _: "v20260106_060000")
    assert keyed.told(*arguments)["trained"][0]["older"] == ["v20260101_060000"]
    listed = keyed.told("models", "list")
    assert [row["version"] for row in listed] == [f"v2026010{day}_060000" for day in (6, 5, 4, 3, 2, 1)]
    assert "has a version v20260106_060000 already" in keyed.run(*arguments, code=1).stderr


# -- what is stored -----------------------------------------------------------------------------------------


def test_stored_models_are_listed_shown_and_verified(keyed: Machine, file: Path) -> None:
    assert "There are no models at" in keyed.run("models", "list").stdout
    assert (
        "there is no isolation_forest of acme at"
        in keyed.run("models", "show", "isolation_forest", "--tenant", "acme", code=1).stderr
    )
    keyed.run("train", "forest", "--tenant", "acme", "--file", str(file), "--each-host")
    rows = keyed.told("models", "list", "--model", "isolation_forest", "--tenant", "acme")
    assert [(row["subject"], row["signed_by"], row["refused"]) for row in rows] == [
        ("db-1", "tests", None),
        ("web-1", "tests", None),
    ]
    assert keyed.told("models", "list", "--tenant", "other") == []
    shown = keyed.told("models", "show", "isolation_forest", "--tenant", "acme", "--host", "db-1")
    assert (shown["version"], shown["signed_by"], shown["features"]) == (rows[0]["version"], "tests", list(NAMES))
    assert (
        "  nominal_p: 0."
        in keyed.run(
            "models", "show", "isolation_forest", rows[0]["version"], "--tenant", "acme", "--host", "db-1"
        ).stdout
    )
    assert "2 versions at" in keyed.run("models", "verify").stdout

    # One is changed, one is signed by a stranger.
    first, second = (
        keyed.folder / "home" / "models" / "isolation_forest" / "acme" / host for host in ("db-1", "web-1")
    )
    arrays = next(first.glob("*/forest.npz"))
    raw = bytearray(arrays.read_bytes())
    raw[100] ^= 1
    arrays.write_bytes(raw)
    signed = next(second.glob("*/manifest.json"))
    stranger = Signer.generate("mallory")
    signed.with_name("manifest.sig").write_bytes(stranger.sign(signed.read_bytes()))
    found = keyed.told("models", "verify", code=1)
    assert "forest.npz was changed: its SHA-256 is" in found[0]["refused"]
    assert f"signed with key {stranger.public.id}, which is not trusted here" in found[1]["refused"]
    said = keyed.run("models", "verify", code=1).stdout
    assert said.count("REFUSED  isolation_forest of acme, ") == 2
    assert "2 versions at" in said
    assert "2 refused" in said
    assert "refused: signed with key" in keyed.run("models", "list").stdout
    assert (
        "is not trusted here"
        in keyed.run("models", "show", "isolation_forest", "--tenant", "acme", "--host", "web-1", code=1).stderr
    )


def test_what_is_signed_but_no_forest_is_refused(keyed: Machine, file: Path) -> None:
    keyed.run("train", "forest", "--tenant", "acme", "--file", str(file))
    place = Place("isolation_forest", "acme")
    registry = keyed.registry
    artifact = registry.load(place, registry.versions(place)[0])
    shutil.rmtree(keyed.folder / "home" / "models")
    about = artifact.manifest.about() | {"feature_set": "metrics-0"}
    wrong = type(artifact.manifest).decode(json.dumps(about).encode())
    registry.publish(wrong, artifact.files, Signer.read(keyed.folder / "keys" / "key.pem"))
    (row,) = keyed.told("models", "verify", code=1)
    assert "trained on feature set metrics-0" in row["refused"]


def test_names_that_are_none_are_usage_errors(machine: Machine) -> None:
    assert "a model's name must match" in machine.run("models", "show", "../x", code=2).stderr


# -- training from ClickHouse -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(clickhouse: Access, database: str) -> Store:
    """The hosts' samples, some rows twice, on two days, and a stranger's."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    # What is older than its retention would be gone at the next merge.
    store.command(f"ALTER TABLE {database}.metric_samples REMOVE TTL")
    columns = ["tenant_id", "event_id", "host", "occurred_at", *NAMES, "extra", "source_partition", "source_offset"]
    rows = [
        (tenant, f"{host}-{number}", host, int(at_ms), *(None if np.isnan(x) else x for x in row), {}, 0, number)
        for tenant, hosts in (("acme", HOSTS), ("other", {"db-1": 10}))
        for host, count in hosts.items()
        for number, (at_ms, row) in enumerate(zip(times(count), values(host, count), strict=True))
    ]
    client = clickhouse.client()
    inserted = [[*row[:3], np.datetime64(row[3], "ms").astype(object), *row[4:]] for row in rows]
    for part in (inserted, inserted[:300]):
        client.insert("metric_samples", part, column_names=columns, database=database)
    client.close()
    return store


@pytest.fixture
def served(keyed: Machine, clickhouse: Access, store: Store) -> Machine:
    keyed.variables |= {
        "WATCHFLOOR_CLICKHOUSE": clickhouse.url,
        "WATCHFLOOR_CLICKHOUSE_PASSWORD": clickhouse.password,
        "WATCHFLOOR_DATABASE": store.database,
    }
    return keyed


@pytest.mark.clickhouse
def test_the_database_gives_the_forests_that_the_file_gives(served: Machine, file: Path) -> None:
    for more in (("--each-host",), ()):
        stored = served.told("train", "forest", "--tenant", "acme", "--dry-run", *more)
        of_file = served.told("train", "forest", "--tenant", "acme", "--dry-run", "--file", str(file), *more)
        for one, other in zip(stored["trained"], of_file["trained"], strict=True):
            assert (one["training"].pop("source"), other["training"].pop("source")) == ("clickhouse", "samples.jsonl")
            assert (one["training"], one["metrics"]) == (other["training"], other["metrics"])
        assert stored["skipped"] == of_file["skipped"]
    served.run("train", "forest", "--tenant", "acme")
    assert list(served.registry.places()) == [Place("isolation_forest", "acme")]


@pytest.mark.clickhouse
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tenant", "other"), "there are 10"),
        (("--tenant", "nobody"), "there are no samples of tenant nobody in ClickHouse at"),
        (("--tenant", "acme", "--until", "2025-10-09T09:00:00Z"), "there are 24"),
    ],
)
def test_too_few_samples_in_the_database(served: Machine, arguments: tuple[str, ...], said: str) -> None:
    assert said in served.run("train", "forest", *arguments, code=3).stderr


@pytest.mark.clickhouse
def test_of_many_samples_an_even_part_is_read(store: Store) -> None:
    last_ms = BEGIN_MS + 1499 * MINUTE_MS
    since_ms, found = samples.counts(store, "acme", last_ms, 500 * MINUTE_MS)
    assert (since_ms, found) == (last_ms - 500 * MINUTE_MS, {"db-1": 501, "web-1": 201})
    assert samples.counts(store, "acme", last_ms, 500 * MINUTE_MS, ["web-1"])[1] == {"web-1": 501}
    every = samples.history(store, "acme", "db-1", 1500, BEGIN_MS, last_ms, 1)
    assert every.times.tolist() == times(1500).tolist()
    assert np.array_equal(every.vectors, values("db-1", 1500), equal_nan=True)
    part = samples.history(store, "acme", "db-1", 1500, BEGIN_MS, last_ms, 5)
    assert 230 < len(part.times) < 370
    assert part.found == 1500
    assert set(part.times.tolist()) <= set(every.times.tolist())
    assert np.array_equal(part.times, samples.history(store, "acme", "db-1", 1500, BEGIN_MS, last_ms, 5).times)


@pytest.mark.clickhouse
def test_a_database_that_does_not_answer_is_said(keyed: Machine) -> None:
    done = keyed.run("train", "forest", "--tenant", "acme", code=1, WATCHFLOOR_CLICKHOUSE="http://127.0.0.1:9")
    assert "ClickHouse at http://127.0.0.1:9 does not answer" in done.stderr
