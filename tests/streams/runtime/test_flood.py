"""A flood of dead letters pauses its partition until a person releases it; nothing is lost meanwhile."""

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.control import DEFAULTS
from streams.control import CONTROL
from streams.runtime import Control
from streams.runtime.engine import Engine
from streams.runtime.flood import LEAST, LIMIT, RELEASE, SHARE, Flood, released
from tests.streams.control import command, judged, view
from tests.streams.runtime.conftest import Lab, eventually, figure, processed
from tests.streams.runtime.tally import NOW, REFUSE, TOPIC, records, sample, tally
from tests.streams.runtime.test_obey import CONTROL_TOPICS, ask

AGENT = replace(tally(), settings=DEFAULTS)
MINUTE = 60_000
USUAL = Control(DEFAULTS)


def test_the_catalogue_has_the_settings() -> None:
    assert {LIMIT, SHARE, RELEASE} <= DEFAULTS.keys()
    assert (DEFAULTS[LIMIT], DEFAULTS[SHARE]) == (100, 0.01)


# (frames: minute, records, dead letters), whether that is a flood
CASES = {
    "nothing": ([], False),
    "time alone": ([(None, 0, 0)], False),
    "one of 50": ([(0, 50, 1)], False),
    "few of few": ([(0, 19, 19)], False),
    "the least": ([(0, 20, 20)], True),
    "one percent": ([(0, 2000, 20)], False),
    "more than one percent": ([(0, 1999, 20)], True),
    "a hundred": ([(0, 1_000_000, 100)], False),
    "more than a hundred": ([(0, 1_000_000, 101)], True),
    "bit by bit": ([(minute, 1_000_000, 21) for minute in range(5)], True),
    "long ago": ([(0, 1_000_000, 80), (5, 1_000_000, 80)], False),
    "within five minutes": ([(0, 1_000_000, 80), (4, 1_000_000, 80)], True),
    "slowly for a day": ([(minute, 1_000_000, 20) for minute in range(1440)], False),
    "after a record of next year": ([(525_600, 1, 0), (0, 1_000_000, 80), (1, 1_000_000, 80)], True),
    "timers, later": ([(0, 1_000_000, 80), (None, 0, 80)], True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_a_flood(case: str) -> None:
    frames, expected = CASES[case]
    flood = Flood()
    for minute, count, dead in frames:
        flood.add(None if minute is None else NOW + minute * MINUTE, count, dead)
    assert bool(flood.found(USUAL)) is expected


def test_the_reason_is_in_words() -> None:
    flood = Flood()
    flood.add(NOW, 3000, 150)
    assert flood.found(USUAL) == "150 dead letters among 3,000 records of 5 minutes"


@pytest.mark.parametrize("time", [NOW, 0, -1])  # -1: a record without a timestamp
def test_settings_say_what_is_a_flood(time: int) -> None:
    flood = Flood()
    flood.add(time, 10_000, 5000)

    def with_settings(limit: str, share: str) -> Control:
        asked = [
            command(0, limit, name="dead_letter_limit", tenant_id="*", requested_at=NOW + MINUTE),
            command(1, share, name="dead_letter_share", tenant_id="*", requested_at=NOW + MINUTE),
        ]
        return view(judged(asked))

    assert not flood.found(with_settings("5000", "0.5"))
    assert flood.found(with_settings("4999", "0.5"))
    assert flood.found(with_settings("5000", "0.49"))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300), st.floats(0, 0.2)), max_size=40))
def test_sums_are_those_of_the_last_five_minutes(frames: list[tuple[int, int, float]]) -> None:
    flood = Flood()
    seen: list[tuple[int, int, int]] = []
    for minute, count, share in sorted(frames):
        seen.append((minute, count, int(share * count)))
        flood.add(NOW + minute * MINUTE, *seen[-1][1:])
        near = [(every, bad) for at, every, bad in seen if minute - at < 5]
        records, dead = (sum(column) for column in zip(*near, strict=True))
        assert bool(flood.found(USUAL)) is (dead > 100 or (dead >= LEAST and dead > 0.01 * records))


@pytest.mark.parametrize(
    ("value", "paused_at", "expected"),
    [
        ("tally/3", 0, True),
        ("tally", 0, True),
        ("all", 0, True),
        ("tally/3", 1, False),
        ("tally/2", 0, False),
        ("tally/33", 0, False),
        ("other", 0, False),
    ],
)
def test_who_is_released(value: str, paused_at: int, expected: bool) -> None:
    about = {"name": "release", "tenant_id": "*"}
    control = view(judged([command(0, '"x"', **about), command(1, f'"{value}"', 1, **about)]))
    assert control.offset == 1
    assert bool(released(control, "tally", 3, paused_at)) is expected


def test_an_undo_releases_nobody() -> None:
    about = {"name": "release", "tenant_id": "*"}
    asked = [
        command(0, '"tally"', **about),
        command(1, '"other"', 1, **about),
        command(2, None, 2, action="undo", **about),
    ]
    control = view(judged(asked))
    assert control.get(*("control.flags", "acme", "release"), NOW) == "tally"
    assert released(control, "tally", 0, paused_at=0) is None


# -- on a broker ------------------------------------------------------------------------------------------


@pytest.fixture
def flooded(lab: Lab) -> Lab:
    lab.create_all()
    lab.create("control.commands", *CONTROL_TOPICS, "control.audit", "changelog.control")
    return lab


def paused(engine: Engine) -> bool:
    return figure(engine.metrics, "watchfloor_paused", partition="0") == 1


def release(number: int, value: str) -> dict[str, object]:
    return command(number, f'"{value}"', number, name="release", tenant_id="*", requested_at=NOW)


@pytest.mark.kafka
async def test_a_flood_pauses_until_it_is_released(flooded: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streams.runtime.engine")
    flooded.write(TOPIC.name, records(sample(n, *[REFUSE] * (n >= 10)) for n in range(130)))
    async with flooded.running(CONTROL):
        async with flooded.running(AGENT) as engine:
            await eventually(lambda: paused(engine), "the pause")
            assert "tally[0] pauses: 120 dead letters among 130 records of 5 minutes" in caplog.text
            assert "`watchfloor control set release tally/0 --reason ...` lets it go on" in caplog.text
        assert flooded.state()[1].paused
        # A restart in the middle does not forget it, and processes nothing.
        flooded.write(TOPIC.name, records(sample(n) for n in range(130, 150)))
        async with flooded.running(AGENT) as engine:
            await eventually(lambda: paused(engine), "the pause after a restart")
            ask(flooded, release(0, "tally/1"))
            assert engine.follower is not None
            await engine.follower.wait_until(0, 20)
            assert paused(engine)
            assert figure(engine.metrics, "watchfloor_events_total") == 0
            ask(flooded, release(1, "tally/0"))
            await processed(engine, 20)
            assert not paused(engine)
            assert "tally[0] goes on: released by jane: reason 1" in caplog.text
            # The count begins anew; another flood pauses it again, and the earlier releases say nothing about it.
            flooded.write(TOPIC.name, records(sample(n, REFUSE) for n in range(150, 175)))
            await eventually(lambda: paused(engine), "the second pause")
            ask(flooded, release(2, "all"))
            flooded.write(TOPIC.name, records(sample(n) for n in range(175, 195)))
            await processed(engine, 65)
            assert engine.parts[0].mark.paused == ""
    flooded.check(AGENT)
    assert len(flooded.rows("dead-letters")) == 145


@pytest.mark.kafka
async def test_a_release_before_the_next_frame_survives_a_restart(flooded: Lab) -> None:
    flooded.write(TOPIC.name, records(sample(n, REFUSE) for n in range(101)))
    async with flooded.running(CONTROL):
        async with flooded.running(AGENT) as engine:
            await eventually(lambda: paused(engine), "the pause")
            ask(flooded, release(0, "tally"))
            await eventually(lambda: not paused(engine), "the release")
        assert flooded.state()[1].paused
        async with flooded.running(AGENT) as engine:
            flooded.write(TOPIC.name, records([sample(101)]))
            await processed(engine, 1)
        assert not flooded.state()[1].paused


@pytest.mark.kafka
async def test_a_higher_limit_keeps_it_going(flooded: Lab) -> None:
    flooded.write(TOPIC.name, records(sample(n, REFUSE) for n in range(300)))
    async with flooded.running(CONTROL):
        raised = [
            command(0, "1000", name="dead_letter_limit", tenant_id="*", requested_at=NOW),
            command(1, "1", name="dead_letter_share", tenant_id="*", requested_at=NOW),
        ]
        ask(flooded, *raised)
        await eventually(lambda: len(flooded.rows("control.audit")) == 2, "the answers")
        async with flooded.running(AGENT) as engine:
            await processed(engine, 300)
            assert not paused(engine)
