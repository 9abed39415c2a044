"""Records as people write them (JSON, cells of a table) turned into records of a topic's schema."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from models import metrics
from schemas.topics import EVENTS_METRICS, Topic

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_LIMIT = 512  # characters of an id or a field of the key
LONG = 1 << 63
INT = 1 << 31

FAULTS = {EVENTS_METRICS.name: metrics.fault}
"""What a domain demands of its events beyond the types of the schema, by topic."""


class Rejected(ValueError):
    """A record that the topic does not take. `field` is None when it is no matter of one field."""

    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field and not reason.startswith(field) else reason)
        self.field = field
        self.reason = reason


T = TypeVar("T")


class Reader:
    """Turns mappings into records of one topic: every field of the schema, checked, in the schema's types.

    `read` takes JSON values, `read_cells` a table's texts, where an empty cell is a missing value.
    Both raise Rejected, which names the field.
    """

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        schema = json.loads(files("schemas").joinpath(f"{topic.schema}.avsc").read_text())
        self.fields = {field["name"]: _Field(field) for field in schema["fields"]}
        self.fault = FAULTS.get(topic.name)
        self.names = {"tenant_id", *(topic.key or ()), *([topic.id] if topic.id else [])}

    def read(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record from JSON values: times as ISO 8601 or epoch milliseconds, numbers as numbers."""
        return self._read(record, cells=False)

    def read_cells(self, cells: Mapping[str, str | None]) -> dict[str, Any]:
        """A record from texts."""
        return self._read({name: cell for name, cell in cells.items() if cell not in ("", None)}, cells=True)

    def _read(self, given: Mapping[str, Any], *, cells: bool) -> dict[str, Any]:
        unknown = [name for name in given if name not in self.fields]
        if unknown:
            raise Rejected(str(unknown[0]), f"no field of {self.topic.name}; its fields: {', '.join(self.fields)}")
        record = {}
        for name, field in self.fields.items():
            if name in given:
                try:
                    record[name] = field.convert(given[name], cells)
                except ValueError as error:
                    raise Rejected(name, str(error)) from error
            elif field.required:
                raise Rejected(name, "missing")
            else:
                record[name] = field.default()
        for name in self.names:
            _check_name(name, record[name])
        wrong = self.fault(record) if self.fault else None
        if wrong:
            raise Rejected(next((name for name in self.fields if wrong.startswith(name)), None), wrong)
        return record


class _Field:
    """One field of the schema: how its values are converted, and what stands for a missing one."""

    def __init__(self, field: Mapping[str, Any]) -> None:
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        self.nullable = "null" in branches
        self.kind = next(branch for branch in branches if branch != "null")
        self.required = "default" not in field
        self.text = json.dumps(field.get("default"))

    def default(self) -> Any:
        return json.loads(self.text)

    def convert(self, value: Any, cell: bool) -> Any:
        if value is None and self.nullable:
            return None
        return converted(self.kind, value, cell)


def converted(kind: Any, value: Any, cell: bool) -> Any:
    """`value` in the Avro type `kind`; of a text, when it is the cell of a table. ValueError says what was expected."""
    if isinstance(kind, Mapping):
        if kind.get("logicalType") == "timestamp-millis":
            return epoch_ms(value)
        if kind["type"] in ("array", "map", "record") and cell:
            value = _json(value)
        if kind["type"] == "array":
            return [converted(kind["items"], item, False) for item in _expect(value, list, "a list")]
        if kind["type"] == "map":
            items = _expect(value, dict, "an object").items()
            return {str(name): converted(kind["values"], item, False) for name, item in items}
        return converted(kind["type"], value, cell)
    if kind in ("double", "float"):
        return number(value, cell)
    if kind in ("long", "int"):
        return whole(value, cell, LONG if kind == "long" else INT)
    if kind == "boolean":
        if cell and str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        return _expect(value, bool, "true or false")
    if kind == "string":
        return _expect(value, str, "a text")
    raise ValueError(f"values of the type {kind} cannot be given here")


def number(value: Any, cell: bool = False) -> float:
    """A finite number."""
    if cell:
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"expected a number, got {_shown(value)}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {_shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        raise ValueError(f"expected a number of at most 64 bits, got {_shown(value)}") from None
    if not math.isfinite(result):
        raise ValueError(f"expected a finite number, got {result}; leave out what was not measured")
    return result


def whole(value: Any, cell: bool = False, limit: int = LONG) -> int:
    """A whole number from -limit to limit - 1."""
    if cell:
        try:
            value = int(value)
        except ValueError:
            raise ValueError(f"expected a whole number, got {_shown(value)}") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {_shown(value)}")
    if not -limit <= value < limit:
        raise ValueError(f"expected {-limit} to {limit - 1}, got {_shown(value)}")
    return value


def epoch_ms(value: Any) -> int:
    """UTC epoch milliseconds of ISO 8601 text with a zone, a datetime with one, or of milliseconds themselves."""
    if isinstance(value, str) and not re.fullmatch(r"-?\d{9,16}", value.strip()):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(
                "expected a time as ISO 8601 with a zone (2026-03-01T12:00:00Z) or epoch milliseconds, "
                f"got {_shown(value)}"
            ) from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} lacks a zone; write {value.isoformat()}Z for UTC")
        since = value - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    return whole(value, isinstance(value, str))


@cache
def reader(topic: Topic) -> Reader:
    """The reader of a topic; the same object each time."""
    return Reader(topic)


def _check_name(name: str, value: Any) -> None:
    if name == "tenant_id":
        if not TENANT.fullmatch(value):
            raise Rejected(name, f"expected {TENANT.pattern}, got {_shown(value)}")
        return
    if not isinstance(value, str) or not value or len(value) > NAME_LIMIT:
        raise Rejected(name, f"expected 1 to {NAME_LIMIT} characters, got {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Rejected(name, "expected Unicode text, got half of a surrogate pair") from None
    if any(ord(character) < 32 or character == "|" for character in value):
        raise Rejected(name, f"expected text without | and control characters, got {_shown(value)}")


def _expect(value: Any, kind: type[T], text: str) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"expected {text}, got {_shown(value)}")
    return value


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"expected JSON, got {_shown(text)}") from None


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
