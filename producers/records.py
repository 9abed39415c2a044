"""Records as people write them (JSON, cells of a table) turned into records of a topic's schema."""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from math import isfinite
from typing import Any, TypeVar

from models import attendance, metrics, readings, sync
from models.identity import PLATFORM, TENANT
from schemas import topics
from schemas.topics import Topic

NAME_LIMIT = 512  # characters of an id or a field of the key
SUBJECT = "subject"
"""The field of a key that may be several names, joined by |: it is the last one, so the key stays unambiguous."""
LONG = 1 << 63
INT = 1 << 31

FAULTS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    topics.EVENTS_METRICS.name: metrics.fault,
    topics.EVENTS_ATTENDANCE.name: attendance.event_fault,
    topics.OUTCOMES_ATTENDANCE.name: attendance.outcome_fault,
    topics.EVENTS_SYNC.name: sync.event_fault,
    topics.OUTCOMES_SYNC.name: sync.outcome_fault,
    topics.EVENTS_OCR.name: readings.event_fault,
    topics.OUTCOMES_OCR.name: readings.outcome_fault,
    topics.CONTROL_SITES.name: attendance.site_fault,
    topics.CONTROL_CALENDARS.name: attendance.calendar_fault,
    topics.CONTROL_ROSTERS.name: attendance.roster_fault,
}
"""What a domain demands of its records beyond the types of the schema, by topic."""


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
        self.fields = {field["name"]: field for field in schema["fields"]}
        self.fault = FAULTS.get(topic.name)
        self.names = {"tenant_id", *(topic.key or ()), *([topic.id] if topic.id else [])}
        self._json = [_Field.of(field, cell=False) for field in schema["fields"]]
        self._cells = [_Field.of(field, cell=True) for field in schema["fields"]]

    def read(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record from JSON values: times as ISO 8601 or epoch milliseconds, numbers as numbers."""
        return self._read(record, self._json)

    def read_cells(self, cells: Mapping[str, str | None]) -> dict[str, Any]:
        """A record from texts."""
        return self._read({name: cell for name, cell in cells.items() if cell not in ("", None)}, self._cells)

    def _read(self, given: Mapping[str, Any], fields: list["_Field"]) -> dict[str, Any]:
        record = {}
        known = 0
        for field in fields:
            name = field.name
            if name in given:
                known += 1
                try:
                    record[name] = field.convert(given[name])
                except ValueError as error:
                    raise Rejected(name, str(error)) from error
            elif field.default is None:
                raise Rejected(name, "missing")
            else:
                record[name] = field.default()
        if known < len(given):
            unknown = next(name for name in given if name not in self.fields)
            raise Rejected(str(unknown), f"no field of {self.topic.name}; its fields: {', '.join(self.fields)}")
        if self.fault is None:
            for name in self.names:
                _check_name(name, record[name])
        else:
            wrong = self.fault(record)
            if wrong:
                raise Rejected(next((name for name in self.fields if wrong.startswith(name)), None), wrong)
        return record


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of the schema: how its values are converted, and what makes a missing one; None: it must be there."""

    name: str
    convert: Callable[[Any], Any]
    default: Callable[[], Any] | None

    @classmethod
    def of(cls, field: Mapping[str, Any], *, cell: bool) -> "_Field":
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        kind = next(branch for branch in branches if branch != "null")
        default = field.get("default")
        make = nothing if default is None else partial(deepcopy, default)
        return cls(field["name"], _converter(kind, "null" in branches, cell), make if "default" in field else None)


def nothing() -> None:
    """The default of most fields."""


def _converter(kind: Any, nullable: bool, cell: bool) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return None if value is None and nullable else converted(kind, value, cell)

    # Nearly all values are of these types already.
    def number_at_once(value: Any) -> Any:
        return value if type(value) is float and isfinite(value) else convert(value)

    def text_at_once(value: Any) -> Any:
        return value if type(value) is str else convert(value)

    return number_at_once if kind == "double" else text_at_once if kind == "string" else convert


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
    if not isfinite(result):
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
        if value != PLATFORM and not TENANT.fullmatch(value):
            raise Rejected(name, f"expected {TENANT.pattern}, got {_shown(value)}")
        return
    if not isinstance(value, str) or not value or len(value) > NAME_LIMIT:
        raise Rejected(name, f"expected 1 to {NAME_LIMIT} characters, got {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Rejected(name, "expected Unicode text, got half of a surrogate pair") from None
    if any(ord(character) < 32 or (character == "|" and name != SUBJECT) for character in value):
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
