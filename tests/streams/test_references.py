"""Sites, calendars and rosters by way of control: judged, published for others, and seen as they stood."""

import json
from typing import Any

import pytest

from models.control import REFERENCES
from producers.references import NONE, Newest, changes
from schemas import topics
from streams.references import references
from tests.schemas.samples import SAMPLES
from tests.streams.control import DAY, NOON, answers, command, judged, view

SITE = {
    "latitude": 52.5, "longitude": 13.0, "radius_m": 150.0, "timezone": "Europe/Berlin", "country": "DE",
    "subdivision": "BE",
}  # fmt: skip


def entered(number: int, name: str, value: dict[str, Any] | None, **other: Any) -> dict[str, Any]:
    text = None if value is None else json.dumps(value)
    return command(number, text, **({"name": name, "valid_from": 0} | other))


def test_versions_hold_at_their_time_and_the_newest_is_published() -> None:
    outcome = judged(
        [
            entered(0, "site|berlin", SITE),
            entered(1, "calendar", {"weekend_days": [4, 5]}),
            entered(2, "roster|p-1", {"allowed_sites": ["berlin"]}),
            entered(3, "site|berlin", SITE | {"latitude": 53.0}, expected=1, valid_from=NOON + DAY),
            entered(4, "roster|p-1", None, expected=1, valid_from=None),
        ]
    )
    assert {answer["outcome"] for answer in answers(outcome)} == {"accepted"}
    found = references(view(outcome))
    friday = NOON - NOON % DAY + 4 * DAY  # NOON is a Monday
    for time, latitude in ((5, 52.5), (NOON + DAY - 1, 52.5), (NOON + DAY, 53.0)):
        site = found.site("acme", "berlin", time)
        assert site is not None
        assert site.latitude == latitude
        assert site.facts(friday // DAY).is_weekend == 1
    assert found.site("acme", "london", NOON) is None
    assert found.site("other", "berlin", NOON) is None
    allowed = [found.allowed("acme", "p-1", "berlin", time) for time in (5, NOON, NOON + DAY)]
    assert allowed == [True, True, None], "taken away: nothing is known of it any more"
    assert found.allowed("acme", "p-1", "london", 5) is False
    codec = topics.CONTROL_SITES.codec
    published = [(key, codec.decode(value or b"")) for key, value in outcome.topic("control.sites")]
    assert published[-1] == (
        b"acme|berlin",
        SITE | {"tenant_id": "acme", "site_id": "berlin", "latitude": 53.0, "updated_at": NOON + DAY},
    )
    assert outcome.topic("control.rosters")[-1] == (b"acme|p-1", None)
    assert len(outcome.topic("control.calendars")) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant_id": "*"}, "InvalidTenant"),
        ({"value": "{}"}, "InvalidValue"),
        ({"value": json.dumps(SITE | {"radius_m": -1})}, "InvalidValue"),
        ({"name": "site"}, "UnknownSetting"),
        ({"expected_version": 1}, "StaleVersion"),
        ({"valid_from": NOON + 400 * DAY}, "InvalidTime"),
        ({"valid_from": -1}, "InvalidTime"),
    ],
)
def test_refusals(change: dict[str, Any], code: str) -> None:
    outcome = judged([entered(0, "site|berlin", SITE) | change])
    assert [answer["code"] for answer in answers(outcome)] == [code]
    assert outcome.topic("control.sites") == []


def test_only_what_differs_is_asked_for() -> None:
    site = SAMPLES["control.sites"]
    value = {name: site[name] for name in SITE}
    moved, later = site | {"latitude": 1.0}, site["updated_at"] + 1

    def asked(records: list[dict[str, Any]], newest: Newest) -> list[dict[str, Any]]:
        setting = REFERENCES["control.sites"]
        return list(changes(records, setting, lambda tenant, name: newest, by="jane", reason="new site"))

    assert asked([site], Newest(3, value, 0)) == []
    first = asked([site, site, moved | {"updated_at": later}], NONE)
    assert [(each["expected_version"], each["valid_from"]) for each in first] == [(0, 0), (1, later)]
    assert {each["name"] for each in first} == {"site|berlin-1"}
    assert json.loads(first[0]["value"]) == value
    # Its own date says nothing new: it holds from now on.
    again = asked([moved], Newest(3, value, site["updated_at"]))
    assert again[0]["valid_from"] == again[0]["requested_at"]
    assert again[0]["expected_version"] == 3
