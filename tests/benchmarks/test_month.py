"""The made month: what is planted where, and how alerts are judged."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from benchmarks import plain
from benchmarks.month import APART, CAUSES, COUNTS, LENGTHS, SIZES, Incident, Month, make_month
from benchmarks.month_detectors import TRIO, Alert, candidates, forest, openings, rules, samples, shipped, trio
from benchmarks.month_hosts import DAY, KINDS, START_MS, make_host, variation
from benchmarks.quality_month import groups, judge, shifts
from models import metrics
from models.metrics import NAMES
from schemas import topics

HOSTS = {"web": 2, "database": 1, "batch": 1, "idle": 1}
FEW = {"spike": 2, "level shift": 1, "slow leak": 1, "periodicity lost": 1, "correlated": 1, "host silent": 1}


def small(seed: int = 3) -> Month:
    return make_month(seed, HOSTS, FEW, days=14, learning_days=4)


MONTH = small()


def test_the_same_seed_gives_the_same_month() -> None:
    again, other = small(), small(4)
    assert again.incidents == MONTH.incidents != other.incidents
    for ours, theirs, sent, known in zip(again.values, MONTH.values, again.sent, MONTH.sent, strict=True):
        assert ours.tobytes() == theirs.tobytes()
        assert sent.tobytes() == known.tobytes()


def test_every_kind_is_planted_after_the_learning_days_and_apart() -> None:
    assert Counter(each.kind for each in MONTH.incidents) == FEW
    assert set(FEW) == set(COUNTS) == set(LENGTHS)
    assert sum(COUNTS.values()) == 40
    for number, each in enumerate(MONTH.incidents):
        assert 4 * DAY <= each.start < each.end <= MONTH.samples
        least, most = LENGTHS[each.kind]
        assert least <= each.end - each.start <= most + 5
        assert (len(each.hosts) > 1) == (each.kind == "correlated")
        for other in MONTH.incidents[:number]:
            if set(each.hosts) & set(other.hosts):
                assert each.start - other.end >= APART or other.start - each.end >= APART


def test_values_differ_from_usual_life_within_incidents_only() -> None:
    touched = [np.zeros((9, MONTH.samples), dtype=bool) for _ in MONTH.hosts]
    for each in MONTH.incidents:
        for host in each.hosts:
            within = slice(each.start, each.end)
            rows = [NAMES.index(name) for name in each.metrics]
            touched[host][rows, within] = True
            changed = MONTH.values[host][rows, within] != MONTH.hosts[host].values[rows, within]
            if each.metrics:
                assert changed[0].mean() > 0.5, each
            else:
                assert not MONTH.sent[host][within].any()
    for host, values, where in zip(MONTH.hosts, MONTH.values, touched, strict=True):
        assert (values == host.values)[~where].all()


def test_sizes_are_in_variations_of_the_host() -> None:
    for each in MONTH.incidents:
        if each.kind not in SIZES or each.kind == "slow leak":
            continue
        host, row = each.hosts[0], NAMES.index(each.metrics[0])
        within = slice(each.start + 5, each.end - 5) if each.kind != "spike" else slice(each.start, each.end)
        moved = MONTH.values[host][row, within] - MONTH.hosts[host].values[row, within]
        least = metrics.BY_NAME[each.metrics[0]].steps[0]
        expected = max(each.size * MONTH.hosts[host].variation[row], least)
        assert abs(float(np.median(moved))) == pytest.approx(expected, rel=0.25, abs=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_usual_life_is_good_input_and_breaks_no_static_limit(kind: str) -> None:
    for seed in range(3):
        host = make_host("one", kind, seed, 8 * DAY)
        for each in (host.values, host.flat, host.inverted):
            assert each.shape == (9, 8 * DAY)
            assert np.lib.stride_tricks.sliding_window_view(each[0], 5).min(axis=1).max() <= 95
            assert each[1].max() <= 80
        events = samples("one", host.values, np.arange(0, 8 * DAY, 7))
        assert not [
            wrong for each in events if (wrong := metrics.fault(topics.EVENTS_METRICS.codec.decode(each.value)))
        ]


def test_the_day_is_there_and_can_be_lost() -> None:
    host = make_host("one", "web", 1, 8 * DAY)
    cpu = NAMES.index("cpu_percent")

    def by_day(values: Any) -> float:
        day = values[cpu].reshape(-1, 24, 60)[:5]
        return float(np.median(day[:, 10:16]) / np.median(day[:, 0:5]))

    assert by_day(host.values) > 2
    assert by_day(host.flat) == pytest.approx(1, abs=0.2)
    assert by_day(host.inverted) < 0.7


def test_variation_is_what_remains_beside_the_day() -> None:
    rng = np.random.default_rng(1)
    hours = np.arange(14 * DAY) // 60 % 24
    noise = rng.normal(size=14 * DAY)
    assert variation(50 * (hours > 8) + 3 * noise) == pytest.approx(3 * 1.96, rel=0.03)
    assert variation(np.where(rng.random(14 * DAY) < 0.004, 7.0, 0.0)) == pytest.approx(3.5, rel=0.01)


def test_too_many_incidents_are_refused() -> None:
    with pytest.raises(ValueError, match="no room for another slow leak"):
        make_month(1, {"web": 1}, {"slow leak": 30}, days=8, learning_days=2)


def test_causes_name_metrics() -> None:
    assert {name for groups in CAUSES.values() for group in groups for name in group} <= set(NAMES)


def test_the_trio_over_a_whole_series_is_the_trio_sample_by_sample() -> None:
    rng = np.random.default_rng(2)
    values = np.exp(rng.normal(0, 0.5, 4000)) * 10
    values[1000:1400] = 5.0
    values[1200] = 5.5
    values[2000:2100] = np.round(values[2000:2100])
    fires = rules(values)
    assert tuple(plain.RULES) == TRIO
    for row, make in zip(fires, plain.RULES.values(), strict=True):
        detector = make()
        expected = [detector.update_ms(at * 60_000, value) >= 0.5 for at, value in enumerate(values.tolist())]
        # The first 60 differ: there the rule alone has fewer than an hour.
        assert row[60:].tolist() == expected[60:]
        assert 10 < row.sum() < 2000


def test_the_trio_says_nothing_of_what_is_missing_or_after_a_long_gap() -> None:
    values = np.full(400, 5.0)
    values[[60, 120, 145, 180]] = 50.0
    values[100:140] = np.nan
    fires = rules(values)
    assert fires[:, 60].all()
    assert not fires[:, [120, 145]].any()  # missing, and 20 samples in the trailing hour
    assert fires[:, 180].any()


@pytest.mark.parametrize(
    ("fires", "opened"),
    [
        ("-" * 80, []),
        ("x" * 200, [0]),  # open all the time
        ("x----x" + "-" * 80 + "x", [0, 86]),  # 4 clean ones end nothing
        ("x-----x" + "-" * 40 + "x" + "-" * 80, [0]),  # ended, but quiet
        ("x" + "-" * 50 + "x" * 30, [0, 60]),  # what still fires after the quiet time
        ("x" * 70 + "-----x", [0, 75]),  # open for longer than the quiet time: the next one at once
        ("x" + "o" * 20 + "x" + "-" * 50 + "x", [0, 72]),  # missing samples are not clean
    ],
)
def test_openings(fires: str, opened: list[int]) -> None:
    flags, sent = np.array([each == "x" for each in fires]), np.array([each != "o" for each in fires])
    assert openings(flags, sent) == opened


SPIKE = Incident("spike", (0,), ("cpu_percent",), 15_000, 15_005, 4.0, True)
BOTH = Incident("correlated", (0, 1), ("queue_depth",), 20_000, 20_060, 2.0, True)
SILENT = Incident("host silent", (2,), (), 25_000, 25_090)


@pytest.mark.parametrize(
    ("alert", "owner"),
    [
        (Alert(0, "cpu_percent", 14_999), None),
        (Alert(0, "cpu_percent", 15_000), 0),
        (Alert(0, "error_rate", 15_064), 0),
        (Alert(0, "cpu_percent", 15_065), None),
        (Alert(1, "cpu_percent", 15_000), None),
        (Alert(1, "queue_depth", 20_010), 1),
        (Alert(2, "", 25_003), 2),
    ],
)
def test_an_alert_is_true_on_its_host_from_the_start_to_an_hour_after_the_end(alert: Alert, owner: int | None) -> None:
    assert judge([alert], [SPIKE, BOTH, SILENT]).owners == [owner]


def test_the_judge_counts_an_incident_once_and_takes_the_first_alert() -> None:
    alerts = [
        Alert(1, "queue_depth", 20_012),
        Alert(0, "error_rate", 20_003),
        Alert(2, "", 25_005),
        Alert(2, "cpu_percent", 13_000),  # false
        Alert(3, "cpu_percent", 900),  # false, before incidents come
        Alert(0, "cpu_percent", 30_000),  # false
    ]
    judged = judge(alerts, [SPIKE, BOTH, SILENT])
    assert judged.delays == [None, 3, 5]
    assert judged.aimed == [False, True, True]
    assert judged.true() == 3
    # Days 10 to 30 count: 13,000 minutes are the tenth day.
    assert [each.opened for each in judged.false()] == [30_000]
    assert [each.opened for each in judged.false(0)] == [900, 13_000, 30_000]
    assert judged.false_share() == 1 / 4
    assert judge([], [SPIKE]).false_share() == 0.0


def test_groups_are_alerts_of_a_host_close_together() -> None:
    times = [(0, 0), (0, 10), (1, 12), (0, 20), (0, 31), (1, 22)] + [(2, 100 + 9 * at) for at in range(20)]
    found = groups([Alert(host, "", opened) for host, opened in times])
    assert found[:6] == [0, 0, 1, 0, 2, 1]
    # The third host's go on for longer than two hours: 14 alerts, then another group.
    assert Counter(found[6:]) == {3: 14, 4: 6}
    assert Counter(groups([Alert(0, "", 5)] * 120)) == {0: 50, 1: 50, 2: 20}


def test_alerts_in_a_shift_are_counted_from_the_eleventh_day_on() -> None:
    times = [0, 14_399, 14_400, 14_879, 14_880, *range(20_160, 20_180), 43_199]
    (row,) = shifts({"ours": judge([Alert(0, "", at) for at in times], [])}).rows
    # 24 of them in 60 shifts.
    assert row == ["ours", "0.4", "20", "1"]


def test_the_product_s_own_agents_judge_a_small_month() -> None:
    chance = random.Random(1)
    values = np.array([[30 + chance.gauss(0, 1) for _ in range(1500)] for _ in NAMES])
    values[8] = 0.0
    values[0, 1400:1430] = 70
    sent = np.ones(1500, dtype=bool)
    sent[700:705] = False
    found = candidates("web-1", values, sent)
    alerts = [each for each in shipped(["db-1", "web-1"], found) if each.metric == "cpu_percent"]
    assert alerts
    assert (alerts[0].host, alerts[0].opened, alerts[0].direction) == (1, 1400, "up")
    assert found[0][0] >= START_MS
    assert {each.metric for each in trio(1, values, sent)["all three at once"] if each.opened == 1400} == {
        "cpu_percent"
    }


def test_the_forest_fires_at_what_it_was_not_trained_on() -> None:
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(0, 0.3, (9, 11 * DAY)))
    values[:, 10 * DAY + 500 : 10 * DAY + 520] *= 10
    sent = rng.random(11 * DAY) > 0.01
    sent[10 * DAY + 500] = True
    opened = [each.opened for each in forest(0, values, sent)]
    assert 10 * DAY + 500 in opened
    assert min(opened) >= 10 * DAY
    assert len(opened) < 10
