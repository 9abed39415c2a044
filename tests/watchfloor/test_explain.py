"""`watchfloor explain`: the receipt of predictions that a trained model and the heuristic made in the stream."""

import json
import shutil
from array import array
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.fraud.features import FEATURES_V2
from models.fraud.heuristic import probability as heuristic
from models.registry import Place
from models.registry.activation import Post, value_of
from schemas import topics
from sinks.batch import Batch
from sinks.migrate import migrate
from sinks.store import Store
from sinks.tables import ROUTES
from tests.conftest import Access
from tests.sinks.records import NOW_MS, Record
from tests.sinks.records import prediction as anomaly
from tests.streams.control import answers, command, judged
from tests.streams.test_attendance import features
from tests.streams.test_fraud_serving import VERSION, Site, activated, control, predictions, scored, site
from watchfloor.cli import main

__all__ = ["site"]

pytestmark = pytest.mark.clickhouse

ROUTE = {route.topic.name: route for route in ROUTES}
Values = list[dict[str, Any]]


@pytest.fixture(scope="module")
def stored(site: Site, clickhouse: Access, database: str) -> Values:
    """Predictions, with their events and what people said, in the database; returns the predictions."""
    store = Store(clickhouse.url, clickhouse.user, clickhouse.password, database)
    migrate(store)
    for table in ("predictions", "labelled_predictions", "events_attendance", "control_audit"):
        store.command(f"ALTER TABLE {database}.{table} REMOVE TTL")
    made = predictions(scored(site, control(site, activated(site))))
    facts = dict.fromkeys(("accounts_per_device_30d", "accounts_on_device_5min", "seconds_since_other_account"))
    about = facts | {"own_roster": False, "allowed_sites": []}
    enriched = [each | about | {"published_at": each["occurred_at"]} for each in site.world.events]
    audit = answers(judged([activated(site)]))
    one = alerted(made, VERSION)
    label = {name: one[name] for name in ("tenant_id", "prediction_id", "event_id", "subject", "model", "slot")}
    label |= {name: one[name] for name in ("model_version", "calibration_version", "feature_set", "event_time")}
    label |= {name: one[name] for name in ("probability", "risk_level", "decision", "held_out")}
    label |= {"label": True, "source": "supervisor", "label_version": 1, "decided_by": "jane", "decided_at": 10**12}
    write(store, topics.PREDICTIONS_FRAUD, made)
    write(store, topics.PREDICTIONS_ANOMALY, [anomaly(1)])
    write(store, topics.ATTENDANCE_ENRICHED, enriched)
    write(store, topics.CONTROL_AUDIT, [each | {"command_offset": 0} for each in audit])
    write(store, topics.LABELLED_FRAUD, [label | dict.fromkeys(("interval_low", "interval_high", "outcome_id"))])
    return made


def write(store: Store, topic: topics.Topic, values: Values, at: int = NOW_MS) -> None:
    """As the sink writes what was published at a time, epoch milliseconds."""
    messages = [
        Record(topic.codec.encode(each), number, topic.key_of(each), time=at) for number, each in enumerate(values)
    ]
    batch = Batch(ROUTE[topic.name], messages)
    assert not batch.rejected
    for table in ROUTE[topic.name].tables:
        for month, rows in batch.months.items():
            token = f"{topic.name} {month} {len(values)} {at}"
            store.insert(table.name, table.names, batch.native(table, array("q", rows)), token)


def alerted(made: Values, version: str) -> dict[str, Any]:
    return next(each for each in made if each["decision"] == "alert" and each["model_version"] == version)


@pytest.fixture
def ready(
    site: Site, stored: Values, clickhouse: Access, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Values:
    """With the settings of a machine that may load the model."""
    trusted = tmp_path / "trusted"
    trusted.write_text("".join(f"{key.line}\n" for key in site.registry.trust.keys.values()))
    for name, value in {
        "WATCHFLOOR_HOME": tmp_path / "home",
        "WATCHFLOOR_MODELS": site.registry.storage.url,
        "WATCHFLOOR_TRUSTED_KEYS": trusted,
        **clickhouse.variables(database),
    }.items():
        monkeypatch.setenv(name, str(value))
    return stored


def explain(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exit_code == code, result.output
    return result


def receipt(one: dict[str, Any], code: int = 0) -> Any:
    return json.loads(explain(one["prediction_id"], "--json", code=code).stdout)


def test_the_receipt_of_a_model(site: Site, ready: Values) -> None:
    one = alerted(ready, VERSION)
    found = receipt(one)
    for name in ("prediction_id", "probability", "interval_low", "interval_high", "features", "label_set_90"):
        assert found["prediction"][name] == one[name]
    assert found["event"]["event_id"] == one["event_id"]
    assert found["cuts"] == {name.removeprefix("cut_"): value for name, value in one["detail"].items()}
    assert [each["name"] for each in found["features"]] == list(FEATURES_V2)
    assert found["replay"] == {"state": "same", "why": None, "differing": {}}
    assert found["activated"]["by"] == "jane"
    assert found["label"]["label"] is True
    # What is said to clear it, does.
    change = found["counterfactual"]
    assert change["found"]
    vector = features(one)
    for name, each in change["values"].items():
        assert vector[FEATURES_V2.index(name)] == each["was"]
        vector[FEATURES_V2.index(name)] = float("nan") if each["would_be"] is None else each["would_be"]
    (again,) = site.model.score(site.model.scorer._fit([vector])).probability.tolist()
    assert again == change["probability"] < found["cuts"]["high"]
    assert receipt(one) == found


def test_every_prediction_is_reproduced(ready: Values) -> None:
    some = [each for each in ready if each["model_version"] == VERSION][::300] + ready[::2000]
    assert {each["model_version"] for each in some} == {VERSION, "heuristic_v1"}
    assert {receipt(each)["replay"]["state"] for each in some} == {"same"}


def test_contributions_are_logged_or_computed(ready: Values) -> None:
    of_model = [each for each in ready if each["model_version"] == VERSION]
    critical = next(each for each in of_model if each["contributions"] is not None)
    low = next(each for each in of_model if each["risk_level"] == "LOW")
    logged, computed = receipt(critical)["contributions"], receipt(low)["contributions"]
    assert (logged["source"], computed["source"]) == ("logged", "computed")
    assert logged["base"] == critical["contributions"]["base"] == computed["base"]
    sizes = [abs(each) for each in logged["shares"].values()]
    assert sizes == sorted(sizes, reverse=True)


def test_the_receipt_of_the_heuristic_needs_no_models(ready: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_TRUSTED_KEYS", "/nowhere")
    one = max((each for each in ready if each["model_version"] == "heuristic_v1"), key=lambda each: each["probability"])
    found = receipt(one)
    assert found["replay"]["state"] == "same"
    assert found["activated"] is None
    shares = found["contributions"]
    assert heuristic(features(one)) == one["probability"]
    assert shares["base"] == -4.5
    assert all(share > 0 for share in shares["shares"].values())


def test_in_words(ready: Values) -> None:
    one = alerted(ready, VERSION)
    text = explain(one["prediction_id"][:12]).stdout
    for words in (
        f"{one['risk_level']} alert",
        f"scored by   {VERSION}",
        f"for {one['tenant_id']} by jane: reason 0",
        "fraud, supervisor by jane",
        "What would have cleared it\nWith the ",
        "gives the same score of the logged features, to the last bit",
    ):
        assert words in text
    cleared = next(each for each in ready if each["decision"] == "clear")
    assert "It was cleared." in explain(cleared["prediction_id"]).stdout


def test_a_score_that_is_not_reproduced_is_an_error(
    ready: Values, clickhouse: Access, database: str, site: Site
) -> None:
    one = alerted(ready, VERSION)
    forged = one | {"prediction_id": "f" * 8 + one["prediction_id"][8:], "event_id": "forged"}
    forged["probability"] = one["probability"] - 2**-53
    write(Store(clickhouse.url, clickhouse.user, clickhouse.password, database), topics.PREDICTIONS_FRAUD, [forged])
    found = receipt(forged, code=1)["replay"]
    assert found["state"] == "differs"
    assert found["differing"] == {"probability": {"logged": forged["probability"], "now": one["probability"]}}
    assert "DOES NOT give the logged score" in explain(forged["prediction_id"], code=1).stdout


def test_a_version_that_was_removed(site: Site, ready: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "models"
    shutil.copytree(site.registry.storage.url, other)
    monkeypatch.setenv("WATCHFLOOR_MODELS", str(other))
    one = alerted(ready, VERSION)
    folder = other / Place("fraud", site.large).path / VERSION
    (folder / "model.json").chmod(0o640)
    (folder / "model.json").write_bytes(b"{}")
    found = receipt(one)
    assert found["replay"]["state"] == "not possible"
    assert "model.json" in found["replay"]["why"]
    shutil.rmtree(folder)
    text = explain(one["prediction_id"]).stdout
    assert "Not possible: version" in text
    assert "it was removed" in text
    assert receipt(one)["counterfactual"] is None
    monkeypatch.setenv("WATCHFLOOR_MODELS", site.registry.storage.url)
    monkeypatch.setenv("WATCHFLOOR_TRUSTED_KEYS", str(tmp_path / "none"))
    untrusted = receipt(one)["replay"]
    assert untrusted["state"] == "not possible"
    assert str(tmp_path / "none") in untrusted["why"]


def test_other_models_have_what_was_stored(ready: Values) -> None:
    one = anomaly(1)
    text = explain(one["prediction_id"]).stdout
    assert "are for predictions of fraud" in text
    assert "Scores" in text
    assert "replay" not in receipt(one)


def test_ids_that_name_no_prediction(ready: Values) -> None:
    assert "no prediction has an id that begins" in explain("0" * 20, code=1).stderr
    assert "more than one prediction" in explain("0", code=1).stderr
    assert "expected an id" in explain("xyz'", code=2).stderr
    assert "expected an id" in explain("0" * 36, code=2).stderr
    one = alerted(ready, VERSION)
    assert "no prediction" in explain(one["prediction_id"], "--tenant", "nobody", code=1).stderr


def test_the_activation_that_is_named_is_of_that_version(site: Site) -> None:
    # What the receipt asks the audit for is what `watchfloor models activate` writes.
    (entry,) = answers(judged([activated(site)]))
    assert (entry["name"], entry["value"]) == (
        Post("fraud").setting,
        json.dumps(value_of(Place("fraud", site.large), VERSION)),
    )
    assert command(0)["by"] == entry["by"]
