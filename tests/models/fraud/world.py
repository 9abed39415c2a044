"""A small world for the tests of the fraud features: sites in several zones, and events with few fields to say."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from models.fraud.features import FEATURES_V2
from models.fraud.references import References
from models.fraud.replay import Replay

ZONES = {"berlin": "Europe/Berlin", "london": "Europe/London", "sydney": "Australia/Sydney", "riyadh": "Asia/Riyadh"}


def site(site_id: str, latitude: float, longitude: float, country: str, subdivision: str | None) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "site_id": site_id,
        "latitude": latitude,
        "longitude": longitude,
        "radius_m": 200.0,
        "timezone": ZONES[site_id],
        "country": country,
        "subdivision": subdivision,
        "updated_at": 0,
    }


SITES = [
    site("berlin", 52.5, 13.4, "DE", "BE"),
    site("london", 51.5, -0.1, "GB", "ENG"),
    site("sydney", -33.9, 151.2, "AU", "NSW"),
    site("riyadh", 24.7, 46.7, "SA", None),
]
CALENDAR = {"tenant_id": "acme", "weekend_days": [5, 6], "holidays": ["2026-12-24"], "updated_at": 0}
ROSTER = {"tenant_id": "acme", "person_id": "p-1", "allowed_sites": ["berlin", "london"], "updated_at": 0}


def at(text: str, site_id: str = "berlin", fold: int = 0) -> int:
    """Epoch milliseconds of a time by the clock of a site."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONES[site_id]), fold=fold).timestamp() * 1000)


def event(time: int | str, **fields: Any) -> dict[str, Any]:
    """A check-in in Berlin with nothing measured, but for these fields. `place` is (latitude, longitude)."""
    site_id = fields.get("site_id", "berlin")
    occurred_at = at(time, site_id) if isinstance(time, str) else time
    place = fields.pop("place", (None, None))
    return {
        "tenant_id": "acme",
        "event_id": f"e-{fields.get('person_id', 'p-1')}-{occurred_at}",
        "person_id": "p-1",
        "site_id": site_id,
        "kind": "CHECK_IN",
        "occurred_at": occurred_at,
        "latitude": place[0],
        "longitude": place[1],
        "gps_accuracy_m": None,
        "fix_age_s": None,
        "mock_location": None,
        "scheduled_start": None,
        "face_confidence": None,
        "face_matched": None,
        "device_id": None,
        "allowed_sites": None,
    } | fields


def references(sites: Any = SITES, calendars: Any = (CALENDAR,), rosters: Any = (ROSTER,)) -> References:
    return References.of(sites, calendars, rosters)


def measured(*events: dict[str, Any], known: References | None = None) -> list[dict[str, float]]:
    """Features of each event, by name, all of them in the order given."""
    found = []
    for batch in Replay(known or references()).measure(events):
        found += [dict(zip(FEATURES_V2, row, strict=True)) for row in batch.vectors.tolist()]
    return found


def last(*events: dict[str, Any], known: References | None = None) -> dict[str, float]:
    """Features of the last event."""
    return measured(*events, known=known)[-1]
