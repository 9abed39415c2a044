"""How far each topic partition is stored, kept where the rows are kept.

A range is planned (written here) before its blocks are inserted, so that after a crash exactly this range is cut
again, into the same blocks under the same tokens. The entry's number `seq` decides which of two entries holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sinks import native
from sinks.errors import LostTrack
from sinks.store import Store, quoted
from sinks.tables import TIME

TABLE = "sink_progress"
NAMES = (
    "sink",
    "topic",
    "topic_id",
    "partition",
    "next_offset",
    "planned_last",
    "complete_until",
    "seq",
)
TYPES = ("LowCardinality(String)", "String", "String", "Int32", "Int64", "Int64", TIME, "UInt64")


@dataclass(frozen=True, slots=True)
class Position:
    """Everything below next_offset is stored; up to planned_last (if that is not below it) may be, in part."""

    topic: str
    topic_id: str
    partition: int
    next_offset: int = 0
    planned_last: int = -1
    complete_until: int = 0  # epoch milliseconds
    seq: int = 0

    @property
    def planned(self) -> bool:
        return self.planned_last >= self.next_offset

    def plan(self, last: int) -> "Position":
        return replace(self, planned_last=last, seq=self.seq + 1)

    def stored(self, next_offset: int, complete_until: int) -> "Position":
        return replace(
            self,
            next_offset=next_offset,
            planned_last=next_offset - 1,
            complete_until=max(complete_until, self.complete_until),
            seq=self.seq + 1,
        )


class Progress:
    """The entries of one sink. Several processes may share its partitions."""

    def __init__(self, store: Store, sink: str) -> None:
        self._store = store
        self._sink = sink

    def load(self, topic: str, topic_id: str, partition: int) -> Position | None:
        """The newest entry; None when the topic partition was never written.

        Raises LostTrack when there are entries of another topic of the same name, Unavailable, Mismatch.
        """
        rows = self._store.query(
            f"SELECT topic_id, next_offset, planned_last, toUnixTimestamp64Milli(complete_until) AS until, seq "
            f"FROM {quoted(self._store.database)}.{TABLE} FINAL "
            "WHERE sink = {sink:String} AND topic = {topic:String} AND partition = {partition:Int32}",
            {"sink": self._sink, "topic": topic, "partition": partition},
        )
        for row in rows:
            if row["topic_id"] == topic_id:
                return Position(
                    topic, topic_id, partition, row["next_offset"], row["planned_last"], row["until"], row["seq"]
                )
        if rows:
            raise recreated(topic, topic_id, [row["topic_id"] for row in rows])
        return None

    def save(self, positions: Iterable[Position]) -> None:
        """Write entries. Raises Unavailable, Refused or Mismatch."""
        entries = list(positions)
        rows: list[list[Any]] = [
            [self._sink] * len(entries),
            [each.topic for each in entries],
            [each.topic_id for each in entries],
            [each.partition for each in entries],
            [each.next_offset for each in entries],
            [each.planned_last for each in entries],
            [each.complete_until for each in entries],
            [each.seq for each in entries],
        ]
        columns = [native.column(native.parse(kind), row) for kind, row in zip(TYPES, rows, strict=True)]
        token = ";".join(
            f"{self._sink}:{p.topic_id}:{p.partition}:{p.seq}:{p.next_offset}-{p.planned_last}" for p in entries
        )
        self._store.insert(TABLE, NAMES, native.block(NAMES, TYPES, columns, len(entries)), token)


def recreated(topic: str, topic_id: str, known: Iterable[str]) -> LostTrack:
    return LostTrack(
        f"Topic {topic} was deleted and made anew: its UUID is {topic_id}, the stored progress belongs to "
        f"{', '.join(known)}. What the old one still held is gone from Kafka. To read the new one from its "
        f"beginning: watchfloor sink --accept {topic}"
    )
