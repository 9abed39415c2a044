"""A range of records, read: which rows there are, in which months, and what is wrong with the others."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sinks import native, tables
from sinks.contents import contents
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
        self.months: dict[str, array[int]] = {}  # "2026-11" -> its rows
        self._contents = contents(route, [message.value() or b"" for message in messages])
        times = self._contents.times()
        if not self._usual(times):
            self._sort(times)

    def _usual(self, times: "array[int]") -> bool:
        """All rows are good and of one month: nearly always, where nobody but us writes."""
        if self.route.judged_elsewhere or self._contents.wrong or not times:
            return False
        month = Month(times[0]) if tables.FIRST_MS <= times[0] < tables.LAST_MS else None
        if month is None or min(times) < month.first or max(times) >= month.end:
            return False
        self.months[month.name] = array("q", range(len(times)))
        return True

    def _sort(self, times: "array[int]") -> None:
        wrong = self._contents.wrong
        month = Month(0)
        for row, message in enumerate(self.messages):
            if row in wrong:
                self.rejected.append(Rejected(message, type(wrong[row]).__name__, str(wrong[row])))
                continue
            time = times[row]
            objection = self._objection(row, time, message)
            if objection is not None:
                self.rejected.append(Rejected(message, "InvalidRecord", objection))
                continue
            if not month.first <= time < month.end:
                month = Month(time)
            self.months.setdefault(month.name, array("q")).append(row)

    def _objection(self, row: int, time: int, message: Message) -> str | None:
        if not tables.FIRST_MS <= time < tables.LAST_MS:
            return f"{self.route.month_of} is {time}, which is not between the years 1970 and 2200"
        if self.route.judged_elsewhere:
            if not -self.route.behind_ms <= time - message.timestamp()[1] <= tables.MOST_AHEAD_MS:
                days = self.route.behind_ms // tables.DAY_MS
                return f"{self.route.month_of} is more than {days} days before or an hour after its publishing"
            belongs = self._contents.key(row)
            if belongs != message.key():
                return f"the key is {message.key()!r}, but the record belongs under {belongs!r}"
        return None

    def native(self, table: Table, rows: "array[int]") -> bytes:
        """These rows as one block. Raises ValueError, TypeError or OverflowError when a value fits no column."""
        messages = [self.messages[row] for row in rows]
        origin = {
            tables.PARTITION: array("i", [messages[0].partition()]) * len(messages),
            tables.OFFSET: array("q", [message.offset() for message in messages]),
            tables.TIMESTAMP: array("q", [message.timestamp()[1] for message in messages]),
        }
        fields = [c for c in table.columns if c.field not in origin]
        found = iter(self._contents.columns([(c.field, native.parse(c.type)) for c in fields], rows))
        columns = [origin[c.field].tobytes() if c.field in origin else next(found) for c in table.columns]
        return native.block(table.names, table.types, columns, len(rows))


class Month:
    """The month of a time, as toYYYYMM cuts: its name, its first millisecond and the one after its last."""

    def __init__(self, time_ms: int) -> None:
        first = datetime.fromtimestamp(time_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        self.name = first.strftime("%Y-%m")
        self.first = int(first.timestamp()) * 1000
        self.end = int(after.timestamp()) * 1000
