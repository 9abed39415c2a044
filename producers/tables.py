"""Files of events, line by line: JSONL, CSV (both also .gz) and Parquet in the schema of a topic."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow
import pyarrow.parquet

from producers.records import Reader, Rejected

LINE_BYTES = 8 * 1024 * 1024
PARQUET_ROWS = 1000
FORMATS = (".jsonl", ".ndjson", ".csv", ".parquet")


class FileError(ValueError):
    """A file that cannot be read at all; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file. `raw` is what stood there, for the file of rejects; `share`: read so far, 0 to 1."""

    number: int
    raw: Any
    record: dict[str, Any] | Rejected
    share: float


def lines(path: Path, reader: Reader) -> Iterator[Line]:
    """Every record of a file, or why it is none, in the file's order; the file is never held in memory.

    Numbers count from 1: lines of JSONL and CSV (a CSV's header is line 1), rows of Parquet.
    Raises FileError for a file of no known format, with unknown columns, or that is damaged.
    """
    name = path.name.removesuffix(".gz")
    kind = Path(name).suffix.lower()
    if kind not in FORMATS or (kind == ".parquet" and name != path.name):
        raise FileError(f"{path}: expected a name that ends in {', '.join(FORMATS)}, or .gz after the first three")
    try:
        if kind == ".parquet":
            yield from _parquet(path, reader)
            return
        read = _csv if kind == ".csv" else _jsonl
        size = path.stat().st_size or 1
        with path.open("rb") as file, _content(file, name != path.name) as content:
            yield from read(path, content, reader, lambda: file.tell() / size)
    except (OSError, EOFError, pyarrow.ArrowException) as error:
        raise FileError(f"{path}: {error}") from error


def _content(file: IO[bytes], packed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if packed else file


def _jsonl(path: Path, content: IO[bytes], reader: Reader, share: Callable[[], float]) -> Iterator[Line]:
    number = 0
    while raw := content.readline(LINE_BYTES):
        number += 1
        if len(raw) == LINE_BYTES and not raw.endswith(b"\n"):
            raise FileError(f"{path}, line {number}: longer than {LINE_BYTES} bytes")
        if raw.strip():
            text = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            yield Line(number, text, _settled(_object, text, reader), share())


def _object(text: str, reader: Reader) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Rejected(None, f"expected a JSON object on each line: {error}") from error
    if not isinstance(found, dict):
        raise Rejected(None, f"expected a JSON object on each line, got {text[:60]}")
    return reader.read(found)


def _csv(path: Path, content: IO[bytes], reader: Reader, share: Callable[[], float]) -> Iterator[Line]:
    rows = csv.reader(raw.decode("utf-8", "surrogateescape") for raw in content)
    columns = next(rows, [])
    if columns:
        columns[0] = columns[0].removeprefix("\ufeff")
    unknown = [column for column in columns if column not in reader.fields]
    if unknown or not columns or len(set(columns)) < len(columns):
        what = f"unknown columns {', '.join(map(repr, unknown))}" if unknown else "no columns, or one twice"
        raise FileError(f"{path}, line 1: {what}; expected a header of: {', '.join(reader.fields)}")
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileError(f"{path}, line {rows.line_num}: {error}") from error
        if cells:
            yield Line(rows.line_num, cells, _settled(_row, columns, cells, reader), share())


def _row(columns: list[str], cells: list[str], reader: Reader) -> dict[str, Any]:
    if len(cells) != len(columns):
        raise Rejected(None, f"expected {len(columns)} cells as in the header, got {len(cells)}")
    return reader.read_cells(dict(zip(columns, cells, strict=True)))


def _parquet(path: Path, reader: Reader) -> Iterator[Line]:
    with pyarrow.parquet.ParquetFile(path) as file:
        unknown = [name for name in file.schema_arrow.names if name not in reader.fields]
        if unknown:
            raise FileError(f"{path}: unknown columns {', '.join(unknown)}; expected: {', '.join(reader.fields)}")
        number, rows = 0, file.metadata.num_rows or 1
        for batch in file.iter_batches(PARQUET_ROWS):
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                number += 1
                yield Line(number, row, _settled(_stored, row, reader), number / rows)


def _stored(row: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A stored null is a missing value."""
    return reader.read({name: value for name, value in row.items() if value is not None})


def _settled(make: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any] | Rejected:
    try:
        return make(*arguments)
    except Rejected as rejected:
        return rejected
