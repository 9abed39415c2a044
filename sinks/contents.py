"""What Avro values hold, as columns: from decoded records, or straight from the bytes where sinks._compiled was built.

Both give the same bytes. WATCHFLOOR_PURE=1 forces the plain way.
"""

import os
from array import array
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from schemas import versions
from schemas.codec import MARKER, DecodeError
from schemas.parse import parse, rabin
from sinks import native, tables
from sinks.tables import Route


class Contents(Protocol):
    """`wrong`: why the values of these rows are no records. The other methods are for the other rows."""

    wrong: dict[int, DecodeError]

    def times(self) -> "array[int]":
        """The time of every row that decides on its month, epoch milliseconds; 0 for the wrong ones."""

    def key(self, row: int) -> bytes:
        """The key that the record belongs under."""

    def columns(self, wanted: Sequence[tuple[str, native.Type]], rows: "array[int]") -> list[bytes]:
        """Fields of these rows. Raises TypeError, ValueError or OverflowError for a value that does not fit."""


class Decoded:
    """Every value as a dict."""

    def __init__(self, route: Route, values: Sequence[bytes]) -> None:
        self._route = route
        self._records: list[Any] = route.topic.codec.decode_many(values)
        self.wrong = {row: found for row, found in enumerate(self._records) if isinstance(found, DecodeError)}
        if route.any_time:
            for row, record in enumerate(self._records):
                if row not in self.wrong and not tables.FIRST_MS <= record[route.month_of] < tables.LAST_MS:
                    record[route.month_of] = 0

    def times(self) -> "array[int]":
        field = self._route.month_of
        return array("q", [0 if row in self.wrong else record[field] for row, record in enumerate(self._records)])

    def key(self, row: int) -> bytes:
        return self._route.topic.key_of(self._records[row])

    def columns(self, wanted: Sequence[tuple[str, native.Type]], rows: "array[int]") -> list[bytes]:
        records = [self._records[row] for row in rows]
        return [native.column(kind, [record[field] for record in records]) for field, kind in wanted]


class Scanned:
    """Values left as they are; only what the plain way must judge is decoded."""

    def __init__(self, route: Route, layout: Any, values: list[bytes]) -> None:
        self._route = route
        self._values = values
        self._layout = layout
        self._scan = layout.scan(values)
        self._time = layout.numbers[route.month_of]
        self._key = tuple(layout.numbers[name] for name in ("tenant_id", *(route.topic.key or ())))
        self.wrong: dict[int, DecodeError] = {}
        for row in self._scan.odd:
            try:
                # An older schema, or an unusual form of the same: once encoded anew it is as usual.
                self._scan.replace(row, route.topic.codec.encode(route.topic.codec.decode(values[row])))
            except DecodeError as error:
                self.wrong[row] = error

    def times(self) -> "array[int]":
        times: array[int] = self._scan.numbers(self._time, self.wrong)
        return times

    def key(self, row: int) -> bytes:
        key: bytes = self._scan.joined(row, self._key)
        return key

    def columns(self, wanted: Sequence[tuple[str, native.Type]], rows: "array[int]") -> list[bytes]:
        numbers = [self._layout.numbers[field] for field, _ in wanted]
        schema = self._route.topic.schema
        try:
            writers = [writer(schema, number, kind) for number, (_, kind) in zip(numbers, wanted, strict=True)]
            columns: list[bytes] = self._scan.columns(numbers, writers, rows)
        except _GIVE_UP:
            # The plain way says what is wrong, if anything is.
            plain = Decoded(self._route, [self._values[row] for row in rows])
            return plain.columns(wanted, array("q", range(len(rows))))
        return columns


def contents(route: Route, values: list[bytes]) -> Contents:
    layout = usable_layout(route)
    return Decoded(route, values) if layout is None else Scanned(route, layout, values)


def _compiled() -> ModuleType | None:
    if os.environ.get("WATCHFLOOR_PURE") == "1":
        return None
    try:
        return import_module("sinks._compiled")
    except ImportError:
        return None


_MODULE = _compiled()
_GIVE_UP: type[Exception] = KeyError if _MODULE is None else _MODULE.GiveUp
IMPLEMENTATION = "plain" if _MODULE is None else "compiled"


@cache
def usable_layout(route: Route) -> Any:
    """How the route's values lie; None when they must be decoded: not compiled, or a column that it cannot write."""
    if _MODULE is None or route.any_time:
        return None
    schema = versions.current(route.topic.schema)
    layout = _MODULE.Layout(parse(schema), MARKER + rabin(schema))
    try:
        for table in route.tables:
            for column in table.columns:
                if column.field in layout.numbers:
                    writer(route.topic.schema, layout.numbers[column.field], native.parse(column.type))
    except _GIVE_UP:
        return None
    return layout


def writer(schema: str, number: int, kind: native.Type) -> Any:
    """A new writer: several threads write columns at a time."""
    if _MODULE is None:
        raise ImportError("sinks._compiled was not built")
    return _MODULE.writer(_node(schema).fields[number].node, kind)


@cache
def _node(schema: str) -> Any:
    return parse(versions.current(schema))
