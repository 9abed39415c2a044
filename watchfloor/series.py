"""One series out of a file: a time and a value column of CSV, JSONL or Parquet."""

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

TIME_NAMES = ("timestamp", "time", "occurred_at", "event_time", "datetime", "date", "ts", "t")
VALUE_NAMES = ("value", "y")
MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
SNIFFED = 200
"""Rows that are looked at to tell which column is which."""

EPOCH_UNITS = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (math.inf, 1e-6))
"""(epoch numbers below, milliseconds in one of them): seconds, milliseconds, micro- and nanoseconds."""

Column = Sequence[Any]


class SeriesError(ValueError):
    """A file that holds no series; the text says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series in the order of time.

    Attributes:
        time: name of the time column.
        name: name of the value column.
        others: numeric columns that might have been meant.
        times: epoch milliseconds, ascending.
        values: None where a value is missing, NaN or infinite.
        moved: rows that were not in the order of time.
    """

    time: str
    name: str
    others: tuple[str, ...]
    times: list[int]
    values: list[float | None]
    moved: int

    @property
    def step_s(self) -> float:
        """Median seconds between samples; 0 for one sample."""
        steps = sorted(after - before for before, after in pairwise(self.times))
        return steps[len(steps) // 2] / 1000 if steps else 0.0


def read(path: Path, time: str | None = None, value: str | None = None) -> Series:
    """The series of a file; columns that are not named are found by their names and contents.

    Times are ISO 8601 (UTC without a zone) or epoch seconds, milliseconds, micro- or nanoseconds. Raises SeriesError.
    """
    columns = _columns(path)
    rows = max(map(len, columns.values()), default=0)
    if not rows:
        raise SeriesError(f"{path} holds no rows; expected at least a time and a value column")
    time = _named(time, columns, path) or _find_time(columns, path)
    rest = {name: column for name, column in columns.items() if name != time}
    numeric = [name for name, column in rest.items() if _all(_number, column)]
    value = _named(value, columns, path) or _find_value(numeric, rest, path)
    times = _parsed(columns[time], milliseconds, path, time, "an ISO 8601 or epoch time")
    values = _parsed(columns[value], _number, path, value, "a number")
    if all(number is None for number in values):
        raise SeriesError(f"{path}: every value in {value!r} is missing; expected numbers")
    timed = [(at, number) for at, number in zip(times, values, strict=True) if at is not None]
    ordered = sorted(timed, key=lambda row: row[0])
    moved = sum(before is not after for before, after in zip(timed, ordered, strict=True))
    others = tuple(name for name in numeric if name != value)
    return Series(time, value, others, [int(at) for at, _ in ordered], [number for _, number in ordered], moved)


def milliseconds(given: Any) -> float | None:
    """Epoch milliseconds of a time in any of the known forms; None where there is none. Raises ValueError."""
    if isinstance(given, datetime):
        moment = given if given.tzinfo else given.replace(tzinfo=UTC)
        return moment.timestamp() * 1000
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC).timestamp() * 1000
    if isinstance(given, str):
        if given.strip().lower() in MISSING:
            return None
        try:
            given = float(given)
        except ValueError:
            return milliseconds(datetime.fromisoformat(given.strip()))
    if given is None:
        return None
    if isinstance(given, bool) or not math.isfinite(given) or given < 0:
        raise ValueError(f"{given!r} is no time")
    return float(given) * next(scale for below, scale in EPOCH_UNITS if given < below)


def _number(given: Any) -> float | None:
    if given is None or (isinstance(given, str) and given.strip().lower() in MISSING):
        return None
    number = float(given)
    return number if math.isfinite(number) else None


def _columns(path: Path) -> dict[str, Column]:
    name = path.name.removesuffix(".gz").lower()
    if name.endswith(".parquet"):
        try:
            table = pyarrow.parquet.read_table(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise SeriesError(f"{path} cannot be read as Parquet: {error}") from error
        return {field: table.column(field).to_pylist() for field in table.column_names}
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SeriesError(f"{path} cannot be read as text: {error}") from error
    return _of_lines(text, path) if name.endswith((".jsonl", ".ndjson")) else _of_csv(text, path)


def _of_csv(text: str, path: Path) -> dict[str, Column]:
    head = text[:20_000]
    delimiter = max(",;\t|", key=head.partition("\n")[0].count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows:
        return {}
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names):
        raise SeriesError(f"{path}: the header names a column twice: {', '.join(names)}")
    if _all(_number, names) or len(names) < 2:
        raise SeriesError(f"{path}: expected a header that names a time and a value column, got {rows[0]}")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise SeriesError(f"{path}, row {number}: expected {len(names)} fields, got {len(row)}")
    return {name: [row[at] for row in rows[1:]] for at, name in enumerate(names)}


def _of_lines(text: str, path: Path) -> dict[str, Column]:
    records: list[dict[str, Any]] = []
    for line, each in enumerate(text.splitlines(), 1):
        if each.strip():
            try:
                record = json.loads(each)
            except ValueError as error:
                raise SeriesError(f"{path}, line {line}: expected a JSON object: {error}") from error
            if not isinstance(record, dict):
                raise SeriesError(f"{path}, line {line}: expected a JSON object, got {each[:60]}")
            records.append(record)
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _all(parse: Callable[[Any], float | None], column: Iterable[Any]) -> bool:
    """Whether the beginning of a column can be parsed and is not all missing."""
    found = False
    for seen, each in enumerate(column):
        if seen >= SNIFFED and found:
            break
        try:
            found |= parse(each) is not None
        except (ValueError, TypeError):
            return False
    return found


def _named(name: str | None, columns: dict[str, Column], path: Path) -> str | None:
    if name is not None and name not in columns:
        raise SeriesError(f"{path} has no column {name!r}; it has {', '.join(columns)}")
    return name


def _find_time(columns: dict[str, Column], path: Path) -> str:
    able = [name for name, column in columns.items() if _all(milliseconds, column)]
    for name in sorted(able, key=lambda name: TIME_NAMES.index(name.lower()) if name.lower() in TIME_NAMES else 99):
        # A small number is a value, whatever else it might be.
        if name.lower() in TIME_NAMES or not _all(_number, columns[name]):
            return name
    raise SeriesError(f"{path}: no column looks like a time; name it with --time. Columns: {', '.join(columns)}")


def _find_value(numeric: list[str], rest: dict[str, Column], path: Path) -> str:
    for name in numeric:
        if name.lower() in VALUE_NAMES:
            return name
    if not numeric:
        raise SeriesError(f"{path}: no column holds numbers; columns beside the time: {', '.join(rest) or 'none'}")
    return numeric[0]


def _parsed(
    column: Column, parse: Callable[[Any], float | None], path: Path, name: str, expected: str
) -> list[float | None]:
    out = []
    for row, each in enumerate(column, 1):
        try:
            out.append(parse(each))
        except (ValueError, TypeError) as error:
            raise SeriesError(f"{path}, row {row}: expected {expected} in {name!r}, got {each!r}") from error
    return out
