"""A firing run at its source: when it is told."""

import pytest

from models.alerts import MINUTE_MS
from streams.runs import LONG, Run

START = 1_790_000_040_000  # the start of a minute


def test_worse_is_told_at_once_and_the_rest_once_a_minute() -> None:
    run = Run.begin("WARNING", START)
    told = [(run.severity, run.told())]
    for second, severity in ((1, "WARNING"), (2, "CRITICAL"), (3, "HIGH"), (4, "CRITICAL"), (60, "INFO"), (61, "INFO")):
        if run.fire(severity, START + second * 1000):
            told.append((second, run.severity, run.told()))  # type: ignore[arg-type]
    assert told == [("WARNING", 1), (2, "CRITICAL", 2), (60, "CRITICAL", 3)]
    assert run.pending == 1


def test_a_firing_sample_breaks_the_clean_row() -> None:
    run = Run.begin("HIGH", START)
    ended = [run.rest("metric_anomaly", START + n * MINUTE_MS) for n in range(1, 5)]
    run.fire("HIGH", START + 5 * MINUTE_MS)
    ended += [run.rest("metric_anomaly", START + n * MINUTE_MS) for n in range(6, 11)]
    assert ended == [False] * 8 + [True]


@pytest.mark.parametrize("clean", [0, 3, LONG])
def test_stored_and_read_it_is_the_same(clean: int) -> None:
    run = Run(rank=3, minute=START // MINUTE_MS, fired_at=START + 7, pending=12, clean=clean)
    assert Run.unpack(run.pack()) == run
    run.rest("metric_static", START)
    assert run.clean == min(clean + 1, LONG)
    assert Run.unpack(run.pack()) == run


def test_an_echo_lasts_an_hour_from_the_last_excitement() -> None:
    run = Run.begin("HIGH", START)
    run.echo = True
    assert not run.fade(True, START + 50 * MINUTE_MS)
    assert not run.fade(False, START + 109 * MINUTE_MS)
    assert run.fade(False, START + 110 * MINUTE_MS)
