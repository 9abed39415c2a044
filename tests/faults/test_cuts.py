"""Where frames are cut must not show, whatever is wrong with the records in them."""

import random
import time

import pytest

from streams.runtime.errors import PoisonFloodError
from streams.runtime.frame import InputRecord
from streams.runtime.mark import Mark
from streams.runtime.offline import Outcome, run
from streams.topology import AGENTS as PRODUCT
from tests.faults.bad_input import message, mixture
from tests.faults.samples import Fleet
from tests.faults.topology import AGENTS, BUG


def records(good: int, bad: int, seed: int = 5) -> list[InputRecord]:
    fleet = Fleet(seed, hosts=6)
    messages = [fleet.next() for _ in range(good)]
    messages += [message(kind, fleet) for kind in mixture(seed, bad, big=0)]
    random.Random(seed).shuffle(messages)
    now = int(time.time() * 1000)
    return [InputRecord(one.key, one.value, now, offset) for offset, one in enumerate(messages)]


@pytest.mark.parametrize("agent", [*AGENTS, PRODUCT[0]], ids=lambda agent: agent.name)
def test_any_cut_gives_the_same_bytes(agent: object) -> None:
    whole = records(400, 200)
    found: list[Outcome] = []
    for seed, largest in ((0, 1000), (1, 1), (2, 7), (3, 60)):
        draw = random.Random(seed)

        def cut(draw: random.Random = draw, largest: int = largest) -> int:
            return draw.randint(1, largest)

        found.append(run(agent, whole, cuts=cut))  # type: ignore[arg-type]
    first = found[0]
    assert sum(map(len, first.outputs.values())) > 500
    for other in found[1:]:
        assert other.outputs == first.outputs
        assert other.state == first.state
        assert other.clock == first.clock


def test_a_bug_stops_after_ten_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUG, "yes")
    start = Outcome()
    with pytest.raises(PoisonFloodError):
        run(AGENTS[0], records(100, 0), start=start)
    assert start.records == 10


def test_mark_keeps_the_streak() -> None:
    assert Mark.decode(Mark({"t": 4}, clock=9, poison=10).encode()).poison == 10
    assert Mark.decode(Mark({"t": 4}).encode()).poison == 0
