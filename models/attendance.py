"""The attendance domain's records: what they must be beyond the types of their schemas."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from models.identity import ID_BYTES, NAME_BYTES, TEXT_CHARACTERS, name_fault, names_fault

LARGEST = 1e9

CHECK_IN, CHECK_OUT = KINDS = ("CHECK_IN", "CHECK_OUT")
FRAUD, GENUINE, UNSURE = VERDICTS = ("fraud", "genuine", "unsure")

_RANGES = (
    ("latitude", -90.0, 90.0),
    ("longitude", -180.0, 180.0),
    ("gps_accuracy_m", 0.0, LARGEST),
    ("fix_age_s", 0.0, LARGEST),
    ("face_confidence", 0.0, 1.0),
)
_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBDIVISION = re.compile(r"[A-Z0-9]{1,3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def event_fault(event: Mapping[str, Any]) -> str | None:
    """What is wrong with an event, naming the field: what was expected and what came; None for a good one."""
    wrong = names_fault(event, ("event_id", ID_BYTES), ("person_id", NAME_BYTES), ("site_id", NAME_BYTES))
    if wrong:
        return wrong
    if event["kind"] not in KINDS:
        return _expected("kind", " or ".join(KINDS), event["kind"])
    for name, low, high in _RANGES:
        value = event[name]
        # Neither NaN nor an infinity passes this comparison.
        if value is not None and not low <= value <= high:
            return _expected(name, f"{low:g} to {high:g}", value)
    if (event["latitude"] is None) != (event["longitude"] is None):
        return "latitude and longitude must be given both or not at all"
    device = event["device_id"]
    if device is not None and (wrong := name_fault(device, NAME_BYTES)):
        return f"device_id {wrong}"
    return None if event["allowed_sites"] is None else _sites(event["allowed_sites"])


def outcome_fault(outcome: Mapping[str, Any]) -> str | None:
    """As event_fault, of a verdict."""
    wrong = names_fault(outcome, ("event_id", ID_BYTES), ("person_id", NAME_BYTES), ("decided_by", NAME_BYTES))
    if wrong:
        return wrong
    if outcome["outcome_id"] is not None and (wrong := name_fault(outcome["outcome_id"], ID_BYTES)):
        return f"outcome_id {wrong}"
    if outcome["verdict"] not in VERDICTS:
        return _expected("verdict", ", ".join(VERDICTS), outcome["verdict"])
    reason = outcome["reason"]
    if reason is not None and len(reason) > TEXT_CHARACTERS:
        return f"reason must be at most {TEXT_CHARACTERS} characters, not {len(reason)}"
    return None


def site_fault(site: Mapping[str, Any]) -> str | None:
    """As event_fault, of a site."""
    wrong = names_fault(site, ("site_id", NAME_BYTES))
    if wrong:
        return wrong
    for name, low, high in _RANGES[:2]:
        if not low <= site[name] <= high:
            return _expected(name, f"{low:g} to {high:g}", site[name])
    if not 0.0 < site["radius_m"] <= LARGEST:
        return _expected("radius_m", f"over 0 and at most {LARGEST:g}", site["radius_m"])
    if not _is_zone(site["timezone"]):
        return _expected("timezone", "an IANA name such as Europe/Berlin", site["timezone"])
    if not _COUNTRY.fullmatch(site["country"]):
        return _expected("country", "two capital letters of ISO 3166-1", site["country"])
    if site["subdivision"] is not None and not _SUBDIVISION.fullmatch(site["subdivision"]):
        return _expected("subdivision", "1 to 3 capital letters or digits of ISO 3166-2", site["subdivision"])
    return None


def calendar_fault(calendar: Mapping[str, Any]) -> str | None:
    """As event_fault, of a calendar."""
    wrong = names_fault(calendar)
    if wrong:
        return wrong
    days = calendar["weekend_days"]
    if any(not 0 <= day <= 6 for day in days) or len(set(days)) < len(days):
        return _expected("weekend_days", "each day once, 0 Monday to 6 Sunday", days)
    for day in calendar["holidays"]:
        if not _is_date(day):
            return _expected("holidays", "dates as YYYY-MM-DD", day)
    return None


def roster_fault(roster: Mapping[str, Any]) -> str | None:
    """As event_fault, of a roster."""
    return names_fault(roster, ("person_id", NAME_BYTES)) or _sites(roster["allowed_sites"])


def _sites(sites: Sequence[str]) -> str | None:
    for site in sites:
        if wrong := name_fault(site, NAME_BYTES):
            return f"allowed_sites: each {wrong}"
    return None


@lru_cache(1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # no such zone, a name that points outside, a folder
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return _DATE.fullmatch(text) is not None


def _expected(field: str, what: str, came: Any) -> str:
    return f"{field} must be {what}, not {came!r}"
