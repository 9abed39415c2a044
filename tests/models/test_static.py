"""Static limits by event time."""

from collections.abc import Sequence
from typing import Any

import pytest

from models.anomaly import static_limit
from models.anomaly.static import RULES, StaticLimit

NOON_MS = 1_740_830_400_000

# metric, seconds between samples, values, the first sample in breach and the first one after it that is not
CASES: dict[str, tuple[str, float, Sequence[float], int | None, int | None]] = {
    "five minutes at a minute": ("cpu_percent", 60, [97] * 8, 5, None),
    "five minutes at a second": ("cpu_percent", 1, [97] * 400, 300, None),
    "four minutes are not enough": ("cpu_percent", 60, [97] * 5 + [50] * 9, None, None),
    "the limit itself is allowed": ("cpu_percent", 60, [95] * 20, None, None),
    "a dip of ten seconds ends nothing": ("cpu_percent", 1, [97] * 200 + [60] * 10 + [97] * 100, 300, None),
    "a dip of a minute does": ("cpu_percent", 60, [97] * 4 + [60] + [97] * 7, 10, None),
    "it ends": ("cpu_percent", 60, [97] * 8 + [60] * 3, 5, 8),
    "two samples far apart are no evidence": ("cpu_percent", 900, [97] * 10, None, None),
    "two samples five minutes apart are": ("cpu_percent", 300, [97] * 3, 1, None),
    "memory needs no time": ("memory_percent", 60, [70, 81, 70], 1, 2),
}


@pytest.mark.parametrize(("metric", "step_s", "values", "begin", "end"), CASES.values(), ids=CASES.keys())
def test_cases(metric: str, step_s: float, values: Sequence[float], begin: int | None, end: int | None) -> None:
    limit = static_limit(metric)
    assert limit is not None
    breached = [limit.update_ms(NOON_MS + round(at * step_s * 1000), value) >= 0.5 for at, value in enumerate(values)]
    assert (breached.index(True) if True in breached else None) == begin
    if begin is not None:
        assert (breached.index(False, begin) if False in breached[begin:] else None) == end


def test_it_says_since_when() -> None:
    limit = StaticLimit(RULES["cpu_percent"])
    for minute, value in enumerate([50.0, 97.0, 98.0, 97.0, 99.0, 97.0, 97.0]):
        limit.update_ms(NOON_MS + minute * 60_000, value)
    assert limit.breached
    assert limit.since_ms == NOON_MS + 60_000
    why: dict[str, Any] = limit.explain()
    assert (why["limit"], why["severity"], why["since_ms"]) == (95.0, "CRITICAL", NOON_MS + 60_000)
    assert why["summary"] == "over 95 for 300 s, now 97"
    limit.update_ms(NOON_MS + 7 * 60_000, 20.0)
    after = limit.explain()
    assert (after["breached"], after["since_ms"], after["summary"]) == (False, None, "20 is not over 95")


def test_a_gap_begins_anew() -> None:
    limit = StaticLimit(RULES["cpu_percent"])
    for minute in (0, 1, 2, 40, 41, 42, 43, 44):
        assert limit.update_ms(NOON_MS + minute * 60_000, 99.0) < 0.5
    assert limit.update_ms(NOON_MS + 45 * 60_000, 99.0) == 1.0
