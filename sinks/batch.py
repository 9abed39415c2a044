"""A range of records, read: which rows there are, in which months, and what is wrong with the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from schemas.codec import DecodeError
from sinks import native, tables
from sinks.tables import Route, Table


class Message(Protocol):
    """A record as the Kafka client hands it out."""

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def timestamp(self) -> tuple[int, int]: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def headers(self) -> list[tuple[str, bytes | None]] | None: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that gets no row."""

    message: Message
    error_class: str
    reason: str


class Batch:
    """Messages of one topic partition in the order of their offsets. A row has the number of its message."""

    def __init__(self, route: Route, messages: Sequence[Message]) -> None:
        self.route = route
        self.messages = messages
        self.rejected: list[Rejected] = []
        self.months: dict[str, list[int]] = {}  # "2026-11" -> its rows
        self._contents: list[dict[str, Any]] = route.topic.codec.decode_many(
            [message.value() or b"" for message in messages]
        )
        for row, content in enumerate(self._contents):
            self._judge(row, content)

    def _judge(self, row: int, content: dict[str, Any] | DecodeError) -> None:
        message = self.messages[row]
        if isinstance(content, DecodeError):
            self.rejected.append(Rejected(message, type(content).__name__, str(content)))
            return
        time = content[self.route.month_of]
        if self.route.any_time and not tables.FIRST_MS <= time < tables.LAST_MS:
            time = content[self.route.month_of] = 0
        objection = tables.objection(self.route, content, message.key(), message.timestamp()[1])
        if objection is not None:
            self.rejected.append(Rejected(message, "InvalidRecord", objection))
            return
        self.months.setdefault(month(time), []).append(row)

    def native(self, table: Table, rows: Sequence[int]) -> bytes:
        """These rows as one block. Raises ValueError, TypeError or OverflowError when a value fits no column."""
        messages = [self.messages[row] for row in rows]
        contents = [self._contents[row] for row in rows]
        origin: dict[str, list[int]] = {
            tables.PARTITION: [message.partition() for message in messages],
            tables.OFFSET: [message.offset() for message in messages],
            tables.TIMESTAMP: [message.timestamp()[1] for message in messages],
        }
        columns: list[Sequence[Any]] = [
            origin[column.field] if column.field in origin else [content[column.field] for content in contents]
            for column in table.columns
        ]
        return native.block(table.names, table.types, columns)


def month(time_ms: int) -> str:
    """Month of a time, as toYYYYMM cuts."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m")
