"""What a factor in control changes in the metrics agent: its own scope, and nothing else."""

import random
from typing import Any

import pytest

from models.alerts import HOUR_MS
from models.tuning import Scope, hour_of_week, threshold
from streams.metrics import METRICS
from streams.runtime import Control
from streams.runtime.offline import Outcome, run
from streams.tuned import NOWHERE, thresholds
from tests.streams.control import command, judged, view
from tests.streams.test_metrics import MINUTE, NOON, candidates, nine, predictions, records, sample

# The same series twice on two hosts of two tenants, with two bursts of a middling novelty, five hours apart.
BURSTS = {**dict.fromkeys(range(190, 194), 21.5), **dict.fromkeys(range(490, 494), 28.0)}
METRICS_OF = ("cpu_percent", "db_connections")
HOURS = [hour_of_week(NOON + minute * MINUTE) for minute in (190, 490)]
SERIES = [(tenant, host) for tenant in ("acme", "globex") for host in ("web-1", "web-2")]


def played() -> list[dict[str, Any]]:
    out = []
    for n in range(520):
        values = dict.fromkeys(METRICS_OF, BURSTS.get(n, nine(n)["cpu_percent"]))
        out += [sample(n, tenant_id=tenant, host=host, **values) for tenant, host in SERIES]
    return out


SOURCE = records(played())


def opened(outcome: Outcome) -> set[tuple[str, str, str, int]]:
    """Tenant, host, metric and hour of the week of every firing candidate."""
    return {
        (each["tenant_id"], each["subject"], each["metric"], hour_of_week(each["event_time"]))
        for each in candidates(outcome)
        if each["phase"] == "firing"
    }


def under(*factors: tuple[Scope, float]) -> Control:
    """What control says when these were set before everything."""
    asked = [
        command(number, str(factor), name=scope.setting, valid_from=NOON)
        for number, (scope, factor) in enumerate(factors)
    ]
    return view(judged(asked))


PLAIN = run(METRICS, SOURCE)
EVERYTHING = opened(PLAIN)


def needed(host: str, metric: str, hour: int) -> float:
    """A factor that no sample of acme's series passes in that hour."""
    scores = [
        each["detail"][f"{metric}/novelty"]
        for each in predictions(PLAIN)
        if (each["tenant_id"], each["subject"], hour_of_week(each["event_time"])) == ("acme", host, hour)
    ]
    return next(step / 100 for step in range(101, 200) if threshold("novelty", step / 100) > max(scores))


def test_all_fire_without_a_factor() -> None:
    for hour in HOURS:
        for series in SERIES:
            assert {(*series, metric, hour) for metric in METRICS_OF} <= EVERYTHING


@pytest.mark.parametrize("place", [0, 1])
def test_an_hour_of_one_metric_of_one_host(place: int) -> None:
    hour = HOURS[place]
    scope = Scope("novelty", "web-1", "cpu_percent", hour)
    outcome = run(METRICS, SOURCE, control=under((scope, needed("web-1", "cpu_percent", hour))))
    assert EVERYTHING - opened(outcome) == {("acme", "web-1", "cpu_percent", hour)}
    assert opened(outcome) <= EVERYTHING
    told = [each | {"decision": "", "risk_level": "", "control_offset": -1} for each in predictions(outcome)]
    assert told == [each | {"decision": "", "risk_level": ""} for each in predictions(PLAIN)], "scores stay as they are"


def test_all_hours_and_one_that_differs() -> None:
    most = max(needed("web-1", "cpu_percent", hour) for hour in HOURS)
    everywhere = (Scope("novelty", "web-1", "cpu_percent", None), most)
    outcome = run(METRICS, SOURCE, control=under(everywhere))
    gone = {("acme", "web-1", "cpu_percent", hour) for hour in HOURS}
    assert EVERYTHING - opened(outcome) == {each for each in EVERYTHING if each[:3] == ("acme", "web-1", "cpu_percent")}
    assert gone <= EVERYTHING - opened(outcome)
    but = (Scope("novelty", "web-1", "cpu_percent", HOURS[1]), 1.0)
    outcome = run(METRICS, SOURCE, control=under(everywhere, but))
    assert ("acme", "web-1", "cpu_percent", HOURS[1]) in opened(outcome)
    assert ("acme", "web-1", "cpu_percent", HOURS[0]) not in opened(outcome)


def test_a_factor_that_expired_or_was_undone_changes_nothing() -> None:
    hour = HOURS[1]
    name = {"name": Scope("novelty", "web-1", "cpu_percent", hour).setting}
    factor = str(needed("web-1", "cpu_percent", hour))
    raised = command(0, factor, **name, valid_from=NOON, expires_at=NOON + 9 * HOUR_MS)
    assert ("acme", "web-1", "cpu_percent", hour) not in opened(run(METRICS, SOURCE, control=view(judged([raised]))))
    short = raised | {"expires_at": NOON + 489 * MINUTE}
    assert opened(run(METRICS, SOURCE, control=view(judged([short])))) == EVERYTHING
    undone = [raised, command(1, None, 1, **name, action="undo")]
    assert opened(run(METRICS, SOURCE, control=view(judged(undone)))) == EVERYTHING


def test_where_nothing_is_set_nothing_is_looked_up() -> None:
    control = under((Scope("novelty", "web-1", "cpu_percent", None), 1.5))
    assert thresholds(control, "globex", "web-1", NOON, NOON, 0.5) is NOWHERE
    for other in ("web-10", "web-", "web"):
        assert thresholds(control, "acme", other, NOON, NOON, 0.5) == {}
    assert thresholds(control, "acme", "web-1", NOON, NOON, 0.5) == {
        ("novelty", "cpu_percent"): threshold("novelty", 1.5)
    }
    assert thresholds(control, "acme", "web-1", NOON, NOON - 1, 0.5) == {}


def known(count: int = 10) -> list[dict[str, Any]]:
    """Eight days of 20 % CPU every five minutes, then a level that stands some 1.5 times its limit out."""
    chance = random.Random(4)
    calm = [20 + chance.gauss(0, 1) for _ in range(8 * 288)]
    return [sample(n, at_ms=n * 5 * MINUTE, cpu_percent=value) for n, value in enumerate(calm + [29.0] * count)]


def test_of_a_known_series_ten_percent_more_is_a_tenth_more_excess() -> None:
    source = records(known())
    plain = run(METRICS, source)
    scores = [each["detail"].get("cpu_percent/standing", 0.0) for each in predictions(plain)[-5:]]
    times = max(score / (1 - score) for score in scores)
    assert 1.2 < times < 1.9

    def told(outcome: Outcome) -> bool:
        level = [each for each in candidates(outcome) if each["event_time"] >= NOON + 8 * 288 * 5 * MINUTE]
        return any(each["phase"] == "firing" for each in level)

    assert told(plain)
    for detector, factor, fires in (
        ("standing", 0.99 * times, True),
        ("standing", 1.01 * times, False),
        ("novelty", 2.0, True),
    ):
        outcome = run(METRICS, source, control=under((Scope(detector, "web-1", "cpu_percent", None), round(factor, 4))))
        assert told(outcome) is fires
        assert [each["detail"] for each in predictions(outcome)] == [each["detail"] for each in predictions(plain)]
