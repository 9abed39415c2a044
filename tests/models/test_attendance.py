"""What the attendance domain demands of its records, and distances."""

from typing import Any

import pytest

from models.geography import EARTH_M, distance_m
from producers.records import Rejected, reader
from schemas.topics import CATALOGUE
from tests.schemas.samples import SAMPLES

DOMAIN = ("events.attendance", "outcomes.attendance", "control.sites", "control.calendars", "control.rosters")


@pytest.mark.parametrize("name", DOMAIN)
def test_good_records_are_taken_whole(name: str) -> None:
    assert reader(CATALOGUE[name]).read(SAMPLES[name]) == SAMPLES[name]


NEEDED = {
    "events.attendance": "tenant_id event_id person_id site_id kind occurred_at",
    "outcomes.attendance": "tenant_id event_id person_id verdict decided_by decided_at",
    "control.sites": "tenant_id site_id latitude longitude radius_m timezone country",
    "control.calendars": "tenant_id weekend_days",
    "control.rosters": "tenant_id person_id allowed_sites",
}


@pytest.mark.parametrize("name", DOMAIN)
def test_what_is_not_needed_may_be_left_out_and_is_never_made_up(name: str) -> None:
    needed = {field: SAMPLES[name][field] for field in NEEDED[name].split()}
    found = reader(CATALOGUE[name]).read(needed)
    rest = {field: value for field, value in found.items() if field not in needed}
    assert rest.pop("updated_at", 0) == 0
    assert rest.pop("holidays", []) == []
    assert set(rest.values()) <= {None}
    for field in needed:
        with pytest.raises(Rejected, match=f"{field}: missing"):
            reader(CATALOGUE[name]).read({each: needed[each] for each in needed if each != field})


@pytest.mark.parametrize(
    ("name", "change", "field", "reason"),
    [
        ("events.attendance", {"tenant_id": "Acme"}, "tenant_id", "must match"),
        ("events.attendance", {"person_id": "a|b"}, "person_id", "without |"),
        ("events.attendance", {"site_id": ""}, "site_id", "1 to 200 bytes"),
        ("events.attendance", {"kind": "check_in"}, "kind", "CHECK_IN or CHECK_OUT, not 'check_in'"),
        ("events.attendance", {"latitude": 90.1}, "latitude", "-90 to 90, not 90.1"),
        ("events.attendance", {"longitude": -180.5}, "longitude", "-180 to 180"),
        ("events.attendance", {"longitude": None}, "latitude", "both or not at all"),
        ("events.attendance", {"gps_accuracy_m": -1.0}, "gps_accuracy_m", "0 to 1e"),
        ("events.attendance", {"fix_age_s": -0.5}, "fix_age_s", "0 to 1e"),
        ("events.attendance", {"face_confidence": 1.01}, "face_confidence", "0 to 1, not 1.01"),
        ("events.attendance", {"face_matched": 1}, "face_matched", "true or false"),
        ("events.attendance", {"device_id": ""}, "device_id", "1 to 200 bytes"),
        ("events.attendance", {"allowed_sites": ["a", ""]}, "allowed_sites", "each must be 1 to 200 bytes"),
        ("outcomes.attendance", {"verdict": "guilty"}, "verdict", "fraud, genuine, unsure, not 'guilty'"),
        ("outcomes.attendance", {"outcome_id": "a\nb"}, "outcome_id", "printable"),
        ("outcomes.attendance", {"decided_by": " jane"}, "decided_by", "spaces around it"),
        ("outcomes.attendance", {"reason": "x" * 2001}, "reason", "at most 2000 characters"),
        ("control.sites", {"latitude": -91}, "latitude", "-90 to 90"),
        ("control.sites", {"radius_m": 0.0}, "radius_m", "over 0"),
        ("control.sites", {"timezone": "Berlin"}, "timezone", "an IANA name"),
        ("control.sites", {"timezone": "../etc/passwd"}, "timezone", "an IANA name"),
        ("control.sites", {"timezone": "Europe"}, "timezone", "an IANA name"),
        ("control.sites", {"country": "de"}, "country", "ISO 3166-1"),
        ("control.sites", {"subdivision": "DE-BE"}, "subdivision", "ISO 3166-2"),
        ("control.calendars", {"weekend_days": [5, 7]}, "weekend_days", "0 Monday to 6 Sunday"),
        ("control.calendars", {"weekend_days": [5, 5]}, "weekend_days", "each day once"),
        ("control.calendars", {"holidays": ["2026-02-30"]}, "holidays", "YYYY-MM-DD, not '2026-02-30'"),
        ("control.calendars", {"holidays": ["20260228"]}, "holidays", "YYYY-MM-DD"),
        ("control.rosters", {"allowed_sites": ["x|y"]}, "allowed_sites", "without |"),
    ],
)
def test_bad_records_are_named_with_their_field(name: str, change: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        reader(CATALOGUE[name]).read(SAMPLES[name] | change)
    assert caught.value.field == field
    assert reason in str(caught.value)


def test_a_person_without_fix_is_not_at_zero() -> None:
    change = {"latitude": None, "longitude": None, "gps_accuracy_m": None, "fix_age_s": None}
    found = reader(CATALOGUE["events.attendance"]).read(SAMPLES["events.attendance"] | change)
    assert found["latitude"] is found["longitude"] is found["gps_accuracy_m"] is None


def test_distances() -> None:
    quarter = EARTH_M * 3.141592653589793 / 2
    assert distance_m(0, 0, 0, 0) == 0
    assert distance_m(0, 0, 0, 90) == pytest.approx(quarter)
    assert distance_m(0, 0, 90, 12) == pytest.approx(quarter)
    assert distance_m(10, 179.9, 10, -179.9) == pytest.approx(distance_m(10, 0, 10, 0.2))
    # Berlin to London, as great circles of other tools have it.
    assert distance_m(52.52, 13.405, 51.5074, -0.1278) == pytest.approx(931_600, rel=0.002)
