"""The offline driver: an agent's function over any iterable of records, without Kafka.

For evaluation, backfill and parity checks, and the oracle of the fault tests: what it computes from an input log
is what the transactional engine must have written, byte for byte.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from schemas import topics
from streams.runtime.agent import Agent
from streams.runtime.errors import Halt
from streams.runtime.frame import Frame, Record, Row
from streams.runtime.isolate import PoisonCounter, halves
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
    source: str | None = None,
) -> Outcome:
    """Run an agent over the records of one partition.

    Args:
        agent: the agent.
        records: in the order of their log.
        partition: the partition number that the records come from.
        counts: partitions by topic name; by default every topic has as many as needed for `partition`.
        cuts: gives the size of the next frame; the outcome must not depend on it.
        start: what an earlier run ended with, to go on from.
        source: name of the input topic for dead letters, when it has a prefix.
    Raises:
        Halt: what would stop the partition.
    """
    outcome = start or Outcome()
    if counts is None:
        counts = dict.fromkeys(
            [agent.input.name, topics.DEAD_LETTERS.name, *(t.name for t in agent.outputs)], partition + 1
        )
    for waiting in _frames(iter(records), cuts):
        _process(agent, waiting, partition, counts, outcome, source)
    return outcome


def _frames(records: Iterator[Record], cuts: Callable[[], int]) -> Iterator[list[Record]]:
    while waiting := list(islice(records, cuts())):
        yield waiting


def _process(
    agent: Agent,
    records: Sequence[Record],
    partition: int,
    counts: Mapping[str, int],
    outcome: Outcome,
    source: str | None,
) -> None:
    frame = Frame(agent, partition, records, outcome.store, outcome.clock, counts, source)
    try:
        frame.run()
    except Halt:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the agent raises is met by halving
        if len(records) > 1:
            for half in halves(records):
                _process(agent, half, partition, counts, outcome, source)
            return
        outcome.poison.failed(error)
        frame = Frame(agent, partition, records, outcome.store, outcome.clock, counts, source)
        frame.reject(records[0], type(error).__name__, str(error))
    else:
        outcome.poison.passed()
    outcome.written += sum(len(key) + len(raw or b"") for key, raw in frame.changes.items())
    outcome.store.apply(frame.changes)
    outcome.clock = frame.clock
    outcome.records += len(records)
    for place, rows in frame.outputs.items():
        outcome.outputs.setdefault(place, []).extend(rows)
