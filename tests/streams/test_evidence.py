"""What the other detectors say beside an alert, and in a prediction."""

from functools import cache
from typing import Any

from models.anomaly import panel
from streams.host_state import RUN
from streams.metrics import METRICS
from streams.runtime.layout import SEPARATOR
from streams.runtime.offline import Outcome, run
from tests.streams.control import command
from tests.streams.test_metrics import NOON, SECOND, candidates, nine, play, predictions, records, sample
from tests.streams.test_obeying import at, says


def busy(length: int = 1160, at: int = 1100, **fields: Any) -> list[dict[str, Any]]:
    """A host at a sample a minute, quiet but for ten minutes."""
    return [
        sample(n, at_ms=n * 60 * SECOND, **nine(n, busy=1.0 if at <= n < at + 10 else 0.0), **fields)
        for n in range(length)
    ]


@cache
def played() -> Outcome:
    return play(busy())


def test_an_alert_says_what_the_other_detectors_say_and_how_rare_that_is() -> None:
    found = [each for each in candidates(played()) if each["metric"] == "cpu_percent" and each["phase"] == "firing"]
    first = found[0]
    assert first["event_time"] == NOON + 1100 * 60 * SECOND
    evidence = first["evidence"]
    for name in ("zscore", "iqr", "spike"):
        assert evidence[f"{name}_score"] >= 0.5
        assert 1 / 1025 <= evidence[f"{name}_p"] < 0.05
    assert evidence["novelty_score"] == first["score"]
    assert evidence["novelty_p"] < 0.01
    # Neither knows enough after a day: who says nothing is not quoted.
    assert not {"seasonal_score", "drift_score"} & evidence.keys()


def test_p_is_of_all_metrics_of_the_host_together() -> None:
    """1,024 scores are remembered, one a minute, whichever metric they are of."""
    (first, *_) = (each for each in candidates(played()) if each["kind"] == "metric_anomaly")
    assert first["evidence"]["novelty_p"] == round(1 / 1025, 4)
    early = [each for each in candidates(play(busy(length=300, at=250))) if each["kind"] == "metric_anomaly"]
    assert early[0]["evidence"]["novelty_p"] >= round(1 / 251, 4)


def test_static_limits_have_evidence_too() -> None:
    found = [each for each in candidates(played()) if each["kind"] == "metric_static" and each["phase"] == "firing"]
    assert found[0]["evidence"]["zscore_score"] >= 0.5


def test_a_prediction_keeps_the_others_only_where_they_fire() -> None:
    made = predictions(played())
    always = {f"{name}/novelty" for name in nine(0)} | {"cpu_percent/static", "memory_percent/static"}
    for each in made:
        others = {name: score for name, score in each["detail"].items() if name not in always}
        assert always <= each["detail"].keys()
        assert all(score >= 0.5 and name.split("/")[1] in panel.NAMES for name, score in others.items())
    assert {"cpu_percent/zscore", "cpu_percent/iqr", "cpu_percent/spike"} <= made[1100]["detail"].keys()
    # They are evidence: what opens no alert moves neither the probability nor the decision.
    calm = [each for each in made[:1100] if len(each["detail"]) > len(always) and each["decision"] == "clear"]
    assert calm
    assert all(each["probability"] == max(each["detail"][name] for name in always) for each in calm)


def test_custom_metrics_have_every_detector() -> None:
    extra = [each | {"extra": {"gpu_percent": each["cpu_percent"]}} for each in busy()]
    made = predictions(play(extra))[1100]["detail"]
    for name in ("novelty", "zscore", "iqr", "spike"):
        assert made[f"gpu_percent/{name}"] == made[f"cpu_percent/{name}"]


def off(number: int, name: str, minute: int) -> dict[str, Any]:
    times = {"valid_from": at(minute), "requested_at": at(minute)}
    return command(number, "false", 0, name=f"{name}_detector", **times)


SOURCE = records(busy())


def test_who_is_switched_off_is_not_heard_and_goes_on_learning() -> None:
    without = run(METRICS, SOURCE, control=says(off(0, "zscore", 0), off(1, "novelty", 1105)))
    first = next(each for each in candidates(without) if each["metric"] == "cpu_percent")
    heard = next(each for each in candidates(played()) if each["metric"] == "cpu_percent")["evidence"]
    assert first["evidence"] == {name: value for name, value in heard.items() if not name.startswith("zscore")}
    # All that was learned is the same; only what fires is not.
    assert without.state.items() ^ played().state.items()
    for key, _ in without.state.items() ^ played().state.items():
        assert key.startswith(b"acme|web-1" + SEPARATOR + b"host" + SEPARATOR + RUN)
    details = [each["detail"] for each in predictions(without)]
    assert not any(name.endswith("/zscore") for detail in details for name in detail)
    assert any(name.endswith("/novelty") for name in details[1104])
    assert not any(name.endswith("/novelty") for detail in details[1105:] for name in detail)
    # What novelty had opened ends after its clean samples.
    told = [each for each in candidates(without) if each["kind"] == "metric_anomaly" and each["event_time"] >= at(1105)]
    assert told
    assert {each["phase"] for each in told} == {"clear"}


def test_without_static_limits_none_opens() -> None:
    without = run(METRICS, SOURCE, control=says(off(0, "static", 0)))
    assert {each["kind"] for each in candidates(without)} == {"metric_anomaly"}
    assert not any(name.endswith("/static") for each in predictions(without) for name in each["detail"])
