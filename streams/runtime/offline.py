"""The offline driver: an agent's function over any iterable of records, without Kafka.

For evaluation, backfill and parity checks, and the oracle of the fault tests: what it computes from an input log
is what the transactional engine must have written, byte for byte.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from schemas import topics
from streams.runtime.agent import Agent
from streams.runtime.control import Control
from streams.runtime.errors import Halt
from streams.runtime.formats import level
from streams.runtime.frame import Frame, InputRecord, Record, Row, order
from streams.runtime.isolate import AHEAD, PoisonCounter, ahead, halves
from streams.runtime.mark import NO_CLOCK
from streams.runtime.state import Store


@dataclass(slots=True)
class Outcome:
    """What a run produced.

    Attributes:
        outputs: (key, value) in order, by (topic, partition).
        store: state at the end.
        clock: the partition's clock at the end, epoch milliseconds.
        poison: counts the records just before the end that made the agent raise.
        records: records read.
        written: bytes that the state changes would have put on the changelog.
    """

    outputs: dict[tuple[str, int], list[Row]] = field(default_factory=dict)
    store: Store = field(default_factory=Store)
    clock: int = NO_CLOCK
    poison: PoisonCounter = field(default_factory=PoisonCounter)
    records: int = 0
    written: int = 0

    def topic(self, name: str) -> list[Row]:
        """Outputs to a topic, partition after partition."""
        return [row for (topic, _), rows in sorted(self.outputs.items()) if topic == name for row in rows]

    def take(self, frame: Frame, records: int) -> None:
        """What the commit of a frame would make real."""
        self.written += sum(len(key) + len(raw or b"") for key, raw in frame.changes.items())
        frame.apply()
        self.clock = frame.clock
        self.records += records
        for place, rows in frame.outputs.items():
            self.outputs.setdefault(place, []).extend(rows)

    @property
    def state(self) -> dict[bytes, bytes]:
        """The stored entries as they stand in the changelog."""
        return self.store.committed


def run(
    agent: Agent,
    records: Iterable[Record],
    *,
    partition: int = 0,
    counts: Mapping[str, int] | None = None,
    cuts: Callable[[], int] = lambda: 2000,
    start: Outcome | None = None,
    prefix: str = "",
    tick: int | None = None,
    control: Control | None = None,
) -> Outcome:
    """Run an agent over the records of one partition.

    Args:
        agent: the agent.
        records: in the order of their log; those of several inputs as `merge` gives them.
        partition: the partition number that the records come from.
        counts: partitions by topic name; by default every topic has as many as needed for `partition`.
        cuts: gives the size of the next frame; the outcome must not depend on it.
        start: what an earlier run ended with, to go on from.
        prefix: of the topics' names in dead letters.
        tick: let the partition's clock go on to this time after the records, epoch milliseconds.
        control: what is in force during the whole run; by default nobody has set anything. To repeat what a worker
            did, run the records of each frame under `control.upto(mark.control)` of its MARK, each from the `start`
            that the one before ended with.
    Raises:
        Halt: what would stop the partition.
    """
    outcome = start or Outcome(poison=PoisonCounter(quiet=agent.personal))
    control = control or Control(agent.settings)
    if counts is None:
        names = [topic.name for topic in (*agent.inputs, *agent.outputs, topics.DEAD_LETTERS)]
        counts = dict.fromkeys(names, partition + 1)

    if level(agent, control) == agent.level:
        stored = outcome.state
        outcome.store.apply(agent.formats.renewed(agent.formats.old(stored), stored))

    source, peeked = iter(records), list[Record]()

    def following(many: int) -> list[Record]:
        """The next records, which stay where they are."""
        peeked.extend(islice(source, max(0, many - len(peeked))))
        return peeked[:many]

    def made(records: Sequence[Record], tick: int | None, refused: dict[int, Exception]) -> Frame:
        return Frame(agent, partition, records, outcome.store, outcome.clock, counts, prefix, tick, refused, control)

    def passes(record: Record) -> bool:
        """Whether the agent takes a record by itself; nothing of it is kept."""
        refused: dict[int, Exception] = {}
        while True:
            frame = made([record], None, refused)
            try:
                frame.run()
            except Halt:
                raise
            except Exception as error:  # noqa: BLE001 - what is wrong with it is told when it is its turn
                if frame.firing is None:
                    return False
                refused[frame.given - 1] = error
            else:
                return bool(frame.records)

    def others_pass(after: Sequence[Record]) -> bool:
        return outcome.poison.full and any(map(passes, ahead(after, following(AHEAD))))

    def process(records: Sequence[Record], tick: int | None = None, after: Sequence[Record] = ()) -> None:
        streak = outcome.poison.streak
        refused: dict[int, Exception] = {}
        while True:
            frame = made(records, tick, refused)
            try:
                frame.run()
            except Halt:
                raise
            except Exception as error:
                if frame.firing is not None:
                    spared = others_pass(ahead(records, after))
                    outcome.poison.timer_failed(frame.given - 1, refused, error, others_pass=spared)
                    continue
                if len(records) > 1:
                    outcome.poison.streak = streak  # the halves meet the timers again
                    first, second = halves(records)
                    process(first, after=ahead(second, after))
                    process(second, after=after)
                    return
                if not records:
                    raise
                outcome.poison.failed(error, others_pass=others_pass(after))
                frame = made(records, None, {})
                frame.reject(records[0], type(error).__name__, str(error))
            else:
                outcome.poison.passed(frame.given - 1 in refused)
            break
        outcome.take(frame, len(records))

    while waiting := following(cuts()):
        del peeked[: len(waiting)]
        process(waiting)
    if tick is not None:
        process((), tick)
    return outcome


def merge(inputs: Mapping[str, Iterable[Record]]) -> Iterator[InputRecord]:
    """Records of several inputs, by topic name, in the order in which a worker takes them when all of them wait."""

    def named(topic: str, records: Iterable[Record]) -> Iterator[InputRecord]:
        for one in records:
            yield InputRecord(one.key, one.value, one.timestamp, one.offset, one.headers, topic)

    return heapq.merge(*(named(topic, records) for topic, records in inputs.items()), key=order)
