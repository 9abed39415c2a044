"""Where the partitions of an agent stand, and the explicit way past records that are gone from the input's log."""

import time
from dataclasses import dataclass, replace

from aiokafka import TopicPartition

from schemas import topics
from streams.runtime import kafka
from streams.runtime.agent import Agent
from streams.runtime.frame import Row
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.restore import restore

TRANSACTION_TIMEOUT_MS = 10_000


class NothingLostError(Exception):
    """The partition's next record is in the log: there is nothing to skip."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A partition of an agent in one of its inputs: its MARK (None before its first frame), and what the log holds.

    Offsets `begin` to `end` - 1 can be read; `position` is the next one to be processed.
    """

    topic: str
    partition: int
    mark: Mark | None
    position: int
    begin: int
    end: int

    @property
    def lost(self) -> str | None:
        """What is wrong with the position, None when nothing is."""
        if self.position < self.begin:
            return f"records {self.position} to {self.begin - 1} are gone from the log"
        if self.position > self.end:
            return f"the log ends at {self.end}, before {self.position}: the topic was made anew"
        return None


async def partitions_of(servers: str, topic: str) -> int:
    """Number of partitions of a topic. Raises LookupError when it does not exist."""
    async with kafka.started(kafka.consumer(servers)) as source:
        return await kafka.partitions_of(source, topic)


async def standing(agent: Agent, servers: str, prefix: str, partition: int) -> list[Standing]:
    """Read MARK and the bounds of the inputs' logs, in the order of the agent's inputs.

    Raises KafkaError, TimeoutError; StateVersionError for a MARK that this release does not read.
    """
    restored = await restore(servers, prefix + agent.changelog, partition)
    found = []
    async with kafka.started(kafka.consumer(servers)) as source:
        for topic in agent.inputs:
            name = prefix + topic.name
            begin, end = await kafka.bounds(source, TopicPartition(name, partition))
            position = begin if restored.mark is None else restored.mark.offsets.get(topic.name, begin)
            found.append(Standing(name, partition, restored.mark, position, begin, end))
    return found


async def skip(agent: Agent, servers: str, prefix: str, partition: int, *, by: str, reason: str) -> list[Standing]:
    """Let a partition go on at the first records that the logs still have, and say in the dead letters what it skipped.

    Whoever runs the partition is fenced and opens it again at the new position. MARK and the dead letters are one
    transaction.

    Returns: where it stood in the inputs that had lost records.
    Raises: NothingLostError; else as `standing`.
    """
    producer = kafka.producer(servers, f"{prefix}{agent.name}-{partition}", TRANSACTION_TIMEOUT_MS)
    # First the lock, then the reading: afterwards nobody else can move MARK.
    async with kafka.started(producer):
        stood = await standing(agent, servers, prefix, partition)
        mark = stood[0].mark
        lost = [each for each in stood if each.lost]
        if mark is None or not lost:
            raise NothingLostError(
                "; ".join(
                    f"{each.topic}[{partition}] stands at {each.position}, the log holds {each.begin} to {each.end}"
                    for each in stood
                )
                + ": nothing is lost"
            )
        letters: list[Row] = []
        for each in lost:
            letter: dict[str, object] = {
                "tenant_id": None,
                "source_topic": each.topic,
                "source_partition": partition,
                "source_offset": each.position,
                "source_timestamp": int(time.time() * 1000),
                "agent": agent.name,
                "error_class": "RecordsLost",
                "message": f"{each.lost}; skipped to {each.begin} by {by}: {reason}"[:1000],
                "key": None,
                "value": None,
                "headers": [],
            }
            letters.append((None, topics.DEAD_LETTERS.codec.encode(letter)))
        moved = {each.topic.removeprefix(prefix): each.begin for each in lost}
        count = await partitions_of(servers, prefix + topics.DEAD_LETTERS.name)
        outputs: dict[tuple[str, int], list[Row]] = {
            (prefix + topics.DEAD_LETTERS.name, partition % count): letters,
            (prefix + agent.changelog, partition): [
                (MARK_KEY, replace(mark, offsets=mark.offsets | moved, poison=0).encode(agent.level))
            ],
        }
        await kafka.transact(producer, outputs, kafka.REQUEST_TIMEOUT_S)
        return lost
