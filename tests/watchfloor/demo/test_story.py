"""The story over the real agent, without processes: on a calm machine, calm is no news and the burst is."""

import random
from typing import Any, NamedTuple

import pytest

from producers.collector import sample_event
from producers.replay import Change
from schemas.topics import ALERTS_CANDIDATES, EVENTS_METRICS
from streams.metrics import METRICS
from streams.runtime.offline import run
from watchfloor.demo.history import LISTENING, Week
from watchfloor.demo.level import levels, rescaled

NOW = 1_772_366_400_000
CALM_S, BURST_S = 28, 12
CPU, WRITES = "cpu_percent", "disk_write_bytes_per_s"


class Published(NamedTuple):
    key: bytes
    value: bytes
    timestamp: int
    offset: int
    headers: tuple[()] = ()


def second(chance: random.Random, idle: float) -> dict[str, float | None]:
    """One second of a machine that does little: jobs of a second now and then, a log that is synced."""
    cpu = idle * chance.lognormvariate(0, 0.3) + (chance.uniform(10, 50) if chance.random() < 0.05 else 0.0)
    writes = 16_384.0 * chance.randrange(8) + (chance.uniform(1e6, 4e7) if chance.random() < 0.05 else 0.0)
    return {CPU: min(cpu, 100.0), WRITES: writes}


def burst_second(chance: random.Random, megabytes: float) -> dict[str, float | None]:
    return {CPU: chance.uniform(97, 100), WRITES: megabytes * 1e6 * chance.uniform(0.6, 1.3)}


def told(idle: float, megabytes: float, seed: int, loud: int = 0) -> list[dict[str, Any]]:
    """Candidates for alerts out of the live samples of one demonstration.

    For so many seconds of the listening others wrote to the disk.
    """
    chance = random.Random(seed)
    listened = [sample_event("local", "web1", 1, second(chance, idle)) for _ in range(LISTENING)]
    for sample in listened[:loud]:
        sample[WRITES] = 1e6 * chance.uniform(20, 60)
    week = Week.load(levels(listened))
    move = Change(NOW - week.last, "local", "web1")
    events = [rescaled(move(EVENTS_METRICS, dict(line.record)), week.scales) for line in week.lines]  # type: ignore[arg-type]
    for number in range(CALM_S + BURST_S):
        values = second(chance, idle) if number < CALM_S else burst_second(chance, megabytes)
        events.append(sample_event("local", "web1", NOW + 3000 + number * 1000, values))
    topic = EVENTS_METRICS
    records = [
        Published(topic.key_of(event), topic.codec.encode(event), event["occurred_at"], at)
        for at, event in enumerate(events)
    ]
    outcome = run(METRICS, records)
    found = [ALERTS_CANDIDATES.codec.decode(value or b"") for _, value in outcome.topic(ALERTS_CANDIDATES.name)]
    return [each for each in found if each["event_time"] > NOW and each["phase"] == "firing"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("idle", "megabytes", "least"),
    # On a busy machine with a slow disk one of the two may drown in what is usual there.
    [(1.5, 60.0, 2), (6.0, 60.0, 2), (20.0, 60.0, 2), (20.0, 30.0, 1), (45.0, 60.0, 1)],
)
def test_the_burst_is_news_and_calm_is_not(idle: float, megabytes: float, least: int, seed: int) -> None:
    candidates = told(idle, megabytes, seed)
    begin = NOW + 3000 + CALM_S * 1000
    early = [(each["metric"], each["value"], each["score"]) for each in candidates if each["event_time"] < begin]
    assert early == []
    first = {each["metric"]: each["event_time"] for each in reversed(candidates)}
    assert len(first) >= least
    assert all(at - begin <= 6000 for at in first.values())


@pytest.mark.parametrize("seed", range(3))
def test_others_writes_while_it_listened_do_not_hide_the_burst(seed: int) -> None:
    found = {each["metric"] for each in told(98.0, 60.0, seed, loud=3)}
    assert WRITES in found  # the CPU's part is no news there
