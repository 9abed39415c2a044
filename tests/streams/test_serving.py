"""Which version serves whom, what is refused, and how models are loaded: a real registry, settings as judged."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.anomaly import forest_artifact
from models.anomaly.forest_trainer import train
from models.identity import PLATFORM
from models.metrics import NAMES
from models.registry import EVERYONE, ArtifactRefused, Place, Registry, Signer, Trust
from models.registry.activation import NOBODY, Post, value_of, version_of
from producers.alarms import alarm
from producers.records import reader
from schemas import topics
from streams import metrics
from streams.alerts import fault
from streams.runtime import Control
from streams.runtime.offline import Outcome, run
from streams.serving import GROWS, NotLoadedError, Serving, Shelf, named, serving
from tests.streams.control import MINUTE, NOON, command, judged, view
from tests.streams.test_obeying import QUIET

MODEL = forest_artifact.NAME
POST = Post(MODEL)
FOREST, TRAINING = train(np.arange(1200) * MINUTE, np.random.default_rng(5).uniform(0, 1, (1200, len(NAMES))), seed=1)
VERSIONS = [f"v20260921_12000{number}" for number in range(4)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Versions 0 to 3 for all tenants, 0 for acme and 1 for acme's web-1."""
    signer = Signer.generate("tests")
    found = Registry(str(tmp_path_factory.mktemp("models")), Trust((signer.public,), "tests"))
    everywhere = [(EVERYONE, "", version) for version in VERSIONS]
    for tenant, host, version in [*everywhere, ("acme", "", VERSIONS[0]), ("acme", "web-1", VERSIONS[1])]:
        manifest = forest_artifact.describe(FOREST, TRAINING, version, tenant, host)
        found.publish(manifest, forest_artifact.pack(FOREST), signer)
    return found


@pytest.fixture
def registry(published: Registry, tmp_path: Path) -> Registry:
    """A copy to be tampered with."""
    shutil.copytree(published.storage.url, tmp_path / "models")
    return Registry(str(tmp_path / "models"), published.trust)


Heard = list[tuple[str, str | None]]


@pytest.fixture
def shelf(registry: Registry, heard: Heard) -> Iterator[Shelf]:
    found = Shelf(
        registry,
        {MODEL: forest_artifact.unpack},
        most_bytes=10**9,
        tell=lambda place, version, why: heard.append((version, why)),
    )
    yield found
    found.close()


@pytest.fixture
def heard() -> Heard:
    return []


def says(*asked: dict[str, Any]) -> Control:
    control = view(judged(asked))
    assert control.offset == len(asked) - 1
    return control


def activate(
    number: int, value: str | None, expected: int = 0, *, tenant: str = "acme", post: Post = POST, **other: Any
) -> dict[str, Any]:
    """Command `number`, which holds from minute `number` on; the value is a version of all tenants, or whole."""
    if value in VERSIONS:
        value = value_of(Place(MODEL), value)
    text = None if value is None else json.dumps(value)
    return command(number, text, expected, name=post.setting, tenant_id=tenant, **other)


def at(minute: int) -> int:
    return NOON + minute * MINUTE


def ready(shelf: Shelf, control: Control) -> Callable[..., Serving]:
    """What serves, when all that is named is loaded."""
    asyncio.run(shelf.prepare(control))

    def ask(minute: int, tenant: str = "acme", subject: str = "") -> Serving:
        return serving(control, shelf, Post(MODEL, subject), tenant, at(minute))

    return ask


def test_names_and_values_are_read_back() -> None:
    post = Post(MODEL, "web-1", "shadow:new")
    assert Post.read(post.setting.partition("|")[2]) == post
    place = Place(MODEL, "acme", "a/b c")
    assert version_of(post, value_of(place, VERSIONS[0])) == (place, VERSIONS[0])
    assert version_of(post, NOBODY) is None
    for wrong in (MODEL, f"{MODEL}|boss", f"{MODEL}|champion|", f"{MODEL}|champion|a|b", "No!|champion"):
        with pytest.raises(ValueError):
            Post.read(wrong)


def test_nobody_serves_before_anything_is_activated(shelf: Shelf) -> None:
    assert ready(shelf, says())(0) == Serving()


def test_each_version_serves_from_its_time_on(shelf: Shelf) -> None:
    ask = ready(shelf, says(activate(1, VERSIONS[0]), activate(5, VERSIONS[1], 1)))
    assert [ask(minute).version for minute in (0, 1, 4, 5, 9)] == ["", *VERSIONS[:1] * 2, *VERSIONS[1:2] * 2]
    assert ask(1).model.scores(np.zeros((1, 9))) == FOREST.scores(np.zeros((1, 9)))
    assert ask(9).place == Place(MODEL)


def test_the_own_version_goes_before_that_of_all_and_the_hosts_before_the_own(shelf: Shelf) -> None:
    host = Post(MODEL, "web-1")
    asked = (
        activate(0, VERSIONS[3], tenant=EVERYONE),
        activate(1, value_of(Place(MODEL, "acme"), VERSIONS[0])),
        activate(2, value_of(Place(MODEL, "acme", "web-1"), VERSIONS[1]), post=host),
        activate(3, NOBODY, 1),
    )
    ask = ready(shelf, says(*asked))
    assert ask(2, subject="web-1").place == Place(MODEL, "acme", "web-1")
    assert ask(2, subject="web-2").place == Place(MODEL, "acme")
    assert ask(2, "other", "web-1").place == Place(MODEL)
    assert ask(0, subject="web-1").version == VERSIONS[3]
    # Nobody means nobody, not whoever serves all the others.
    assert ask(3, subject="web-2") == Serving()
    assert ask(3, "other").version == VERSIONS[3]


def test_all_are_off_at_once_and_come_back_exactly(shelf: Shelf) -> None:
    before = (activate(0, VERSIONS[0]), activate(1, VERSIONS[1], tenant=EVERYONE))
    off = command(2, "true", name="models_off", tenant_id=EVERYONE)
    on = command(3, None, 1, name="models_off", tenant_id=EVERYONE, action="undo")
    moments = [(minute, tenant) for minute in range(4) for tenant in ("acme", "other")]
    served = [ready(shelf, says(*before))(*moment) for moment in moments]
    assert {each.version for each in served} == {"", *VERSIONS[:2]}
    assert {ready(shelf, says(*before, off))(*moment) for moment in moments} == {Serving()}
    assert [ready(shelf, says(*before, off, on))(*moment) for moment in moments] == served


def test_an_undone_activation_gives_way_to_the_one_before(shelf: Shelf) -> None:
    undo = activate(3, None, 2, action="undo")
    ask = ready(shelf, says(activate(1, VERSIONS[0]), activate(2, VERSIONS[1], 1), undo))
    assert [ask(minute).version for minute in (1, 2, 3)] == [VERSIONS[0], VERSIONS[1], VERSIONS[0]]


def scored(outcome: Outcome) -> list[dict[str, Any]]:
    codec = topics.PREDICTIONS_ANOMALY.codec
    return [codec.decode(value or b"") for _, value in outcome.topic("predictions.anomaly")]


def _tamper(registry: Registry, version: str, how: str) -> Path:
    folder = Path(registry.storage.url) / Place(MODEL).path / version
    file = folder / ("manifest.sig" if how == "signature" else "manifest.json" if how == "manifest" else "forest.npz")
    raw = bytearray(file.read_bytes())
    file.chmod(0o640)
    if how == "cut":
        file.write_bytes(raw[:-7])
    elif how == "gone":
        file.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    return file


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("changed", "was changed"),
        ("cut", "was cut off"),
        ("gone", "is missing"),
        ("manifest", "signature"),
        ("signature", "signature"),
    ],
)
def test_what_is_refused_leaves_the_one_before(
    how: str, said: str, registry: Registry, shelf: Shelf, heard: Heard
) -> None:
    whole = (Path(registry.storage.url) / Place(MODEL).path / VERSIONS[1] / "forest.npz").read_bytes()
    file = _tamper(registry, VERSIONS[1], how)
    control = says(activate(1, VERSIONS[0]), activate(5, VERSIONS[1], 1))
    served = ready(shelf, control)(9)
    assert (served.version, served.place) == (VERSIONS[0], Place(MODEL))
    assert served.refused is not None
    assert said in served.refused
    # Whoever looks again is told the same, and the NOC only once.
    asyncio.run(shelf.prepare(control))
    settle(shelf)
    assert heard == [(VERSIONS[1], served.refused)]
    if how == "changed":
        file.write_bytes(whole)
        assert ready(shelf, control)(9).version == VERSIONS[1]
        settle(shelf)
        assert heard[1:] == [(VERSIONS[1], None)]


def settle(shelf: Shelf) -> None:
    """Until the shelf's thread has said what it has to say."""
    shelf._thread.submit(lambda: None).result(10)


def test_without_an_earlier_version_nobody_serves(registry: Registry, shelf: Shelf) -> None:
    _tamper(registry, VERSIONS[1], "changed")
    served = ready(shelf, says(activate(1, VERSIONS[1])))(9)
    assert served.model is None
    assert served.refused is not None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (value_of(Place(MODEL, "other"), VERSIONS[0]), "another tenant"),
        (f"acme/@all/{VERSIONS[3]}", f"has no version {VERSIONS[3]}"),
        ("acme/@all/v20269999_000000", "must look like"),
        ("acme/a%/v20260921_120000", "no folder"),
    ],
)
def test_a_value_that_names_nothing_of_the_tenants_is_refused(value: str, said: str, shelf: Shelf) -> None:
    served = ready(shelf, says(activate(1, VERSIONS[0]), activate(2, value, 1)))(9)
    assert served.version == VERSIONS[0]
    assert served.refused is not None
    assert said in served.refused


def test_a_model_that_this_release_does_not_know_is_refused(registry: Registry) -> None:
    shelf = Shelf(registry, {}, most_bytes=10**9)
    served = ready(shelf, says(activate(1, VERSIONS[0])))(9)
    assert served.refused is not None
    assert "no model of that name" in served.refused
    shelf.close()


def test_what_is_not_loaded_stops_the_partition_until_it_is(shelf: Shelf) -> None:
    with pytest.raises(NotLoadedError, match="not loaded yet"):
        shelf.get(Place(MODEL), VERSIONS[0])
    settle(shelf)
    assert shelf.get(Place(MODEL), VERSIONS[0]).nominal == FOREST.nominal
    with pytest.raises(NotLoadedError, match="where models are stored"):
        run(metrics.METRICS, QUIET, control=says(activate(0, VERSIONS[0], valid_from=at(-60))))


def test_the_least_used_are_given_up_for_memory(registry: Registry) -> None:
    size = GROWS * sum(map(len, forest_artifact.pack(FOREST).values()))
    shelf = Shelf(registry, {MODEL: forest_artifact.unpack}, most_bytes=2 * size)
    for version in (*VERSIONS[:2], VERSIONS[0], VERSIONS[2]):
        try:
            shelf.get(Place(MODEL), version)
        except NotLoadedError:
            settle(shelf)
    shelf.get(Place(MODEL), VERSIONS[0])
    shelf.get(Place(MODEL), VERSIONS[2])
    with pytest.raises(NotLoadedError):
        shelf.get(Place(MODEL), VERSIONS[1])
    shelf.close()


def test_what_is_loaded_ahead_is_the_newest_and_the_one_before() -> None:
    control = says(*(activate(number, version, number) for number, version in enumerate(VERSIONS)))
    assert list(named(control)) == [(Place(MODEL), VERSIONS[3]), (Place(MODEL), VERSIONS[2])]


def test_the_forest_is_evidence_of_alerts_from_its_activation_on(shelf: Shelf) -> None:
    control = says(activate(0, VERSIONS[0], valid_from=at(200)))
    asyncio.run(shelf.prepare(control))
    agent = metrics.agent(shelf)
    outcome, plain = run(agent, QUIET, control=control), run(agent, QUIET)
    key = f"{MODEL}_score"
    told = [topics.ALERTS_CANDIDATES.codec.decode(value or b"") for _, value in outcome.topic("alerts.candidates")]
    firing = [each for each in told if each["phase"] == "firing"]
    assert {each["event_time"] >= at(200): key in each["evidence"] for each in firing} == {False: False, True: True}
    for each in firing:
        if key in each["evidence"]:
            assert 0.0 < each["evidence"][key] < 1.0
            assert round(1 / (len(FOREST.calibration) + 1), 4) <= each["evidence"][f"{MODEL}_p"] <= 1.0
    # It says something about alerts, and opens none.
    assert len(told) == len(plain.topic("alerts.candidates"))
    assert [each["probability"] for each in scored(outcome)] == [each["probability"] for each in scored(plain)]
    # Wherever frames are cut.
    again = run(agent, QUIET, control=control, cuts=lambda: 7)
    assert again.outputs == outcome.outputs


def test_a_refused_forest_is_named_where_it_would_have_spoken(registry: Registry, shelf: Shelf) -> None:
    _tamper(registry, VERSIONS[0], "changed")
    control = says(activate(0, VERSIONS[0], valid_from=at(200)))
    asyncio.run(shelf.prepare(control))
    outcome = run(metrics.agent(shelf), QUIET, control=control)
    reasons = {
        each["fallback_reason"]
        for each in scored(outcome)
        if each["decision"] == "alert" and each["event_time"] > at(200)
    }
    assert any("was changed" in (reason or "") for reason in reasons)


def test_an_alarm_is_a_candidate_that_the_alert_agent_takes() -> None:
    fires = alarm("artifact_refused", PLATFORM, f"{MODEL}/all/{VERSIONS[0]}", NOON, "x" * 900)
    over = alarm("artifact_refused", PLATFORM, f"{MODEL}/all/{VERSIONS[0]}", NOON + 1, "over", clear=True)
    for each in (fires, over):
        valid = reader(topics.ALERTS_CANDIDATES).read(each)
        assert fault(valid) is None
    assert fires["fingerprint"] == over["fingerprint"]
    assert (fires["severity"], fires["phase"], over["phase"]) == ("CRITICAL", "firing", "clear")


def test_a_refusal_is_no_reason_to_raise_for_every_record(registry: Registry, shelf: Shelf) -> None:
    _tamper(registry, VERSIONS[0], "cut")
    asyncio.run(shelf.prepare(says(activate(0, VERSIONS[0]))))
    with pytest.raises(ArtifactRefused):
        shelf.get(Place(MODEL), VERSIONS[0])
