"""Every feature of attendance against values worked out by hand."""

import math
from pathlib import Path
from typing import Any

import pytest

from models.fraud.features import FEATURES, FEATURES_V1, FEATURES_V2
from models.geography import distance_m
from tests.models.fraud.world import SITES, at, event, last, measured, references

NAN = math.nan
HERE = (52.5, 13.4)
SPEC = """hour_of_day day_of_week is_weekend is_holiday gps_drift_meters location_consistency_score
    check_in_frequency_zscore late_arrival_rate weekend_work_frequency face_recognition_confidence
    biometric_mismatch_count_30d time_since_last_event"""


def test_the_twelve_stand_first_and_in_order() -> None:
    assert tuple(SPEC.split()) == FEATURES_V1
    assert FEATURES_V2[:12] == FEATURES_V1
    assert len(set(FEATURES_V2)) == len(FEATURES_V2)


@pytest.mark.parametrize(
    ("time", "fields", "expected"),
    [
        # By the clock of the site, with minutes as a fraction.
        ("2026-03-02T06:30", {}, {"hour_of_day": 6.5, "day_of_week": 0, "is_weekend": 0, "is_holiday": 0}),
        ("2026-03-07T23:59:24", {}, {"hour_of_day": 23.99, "day_of_week": 5, "is_weekend": 1}),
        # The clock goes from 2 to 3 in the night of 29 March, and from 3 back to 2 on 25 October.
        (at("2026-03-29T01:30"), {}, {"hour_of_day": 1.5, "day_of_week": 6}),
        (at("2026-03-29T01:30") + 3_600_000, {}, {"hour_of_day": 3.5, "day_of_week": 6}),
        (at("2026-10-25T02:30", fold=0), {}, {"hour_of_day": 2.5, "day_of_week": 6}),
        (at("2026-10-25T02:30", fold=1), {}, {"hour_of_day": 2.5, "day_of_week": 6}),
        (at("2026-10-25T23:30"), {}, {"hour_of_day": 23.5, "day_of_week": 6}),
        # The same moment is Sunday in Sydney and Saturday in London.
        (at("2026-03-08T08:00", "sydney"), {"site_id": "sydney"}, {"hour_of_day": 8, "day_of_week": 6}),
        (at("2026-03-08T08:00", "sydney"), {"site_id": "london"}, {"hour_of_day": 21, "day_of_week": 5}),
        # Public holidays of the country and the state, and the tenant's own. The Women's Day is one in Berlin only.
        ("2026-05-01T08:00", {}, {"is_holiday": 1}),
        ("2027-03-08T08:00", {}, {"is_holiday": 1}),
        (at("2027-03-08T08:00", "london"), {"site_id": "london"}, {"is_holiday": 0}),
        ("2026-12-24T08:00", {}, {"is_holiday": 1}),
        # A site that nobody knows.
        (
            at("2026-03-07T08:00"),
            {"site_id": "nowhere"},
            dict.fromkeys(("hour_of_day", "day_of_week", "is_weekend", "is_holiday", "gps_drift_meters"), NAN),
        ),
        (
            at("2026-03-07T08:00"),
            {"site_id": "nowhere", "place": HERE},
            {"gps_drift_meters": NAN, "beyond_radius_m": NAN},
        ),
        # The place.
        ("2026-03-02T08:00", {"place": HERE}, {"gps_drift_meters": 0, "beyond_radius_m": -200, "missing_fix": 0}),
        ("2026-03-02T08:00", {}, {"gps_drift_meters": NAN, "beyond_radius_m": NAN, "missing_fix": 1}),
        (
            "2026-03-02T08:00",
            {"place": (52.5, 13.5)},
            {"gps_drift_meters": distance_m(52.5, 13.4, 52.5, 13.5), "location_consistency_score": NAN},
        ),
        # What is told, and what is not.
        ("2026-03-02T08:00", {}, dict.fromkeys(("fix_age_s", "gps_accuracy_m", "mock_location", "face_matched"), NAN)),
        (
            "2026-03-02T08:00",
            {"fix_age_s": 0.0, "gps_accuracy_m": 5.5, "mock_location": False, "place": HERE},
            {"fix_age_s": 0, "gps_accuracy_m": 5.5, "mock_location": 0},
        ),
        (
            "2026-03-02T08:00",
            {"face_confidence": 0.25, "face_matched": False},
            {"face_recognition_confidence": 0.25, "face_matched": 0},
        ),
        ("2026-03-02T08:00", {}, {"is_check_out": 0, "minutes_from_start": NAN, "face_recognition_confidence": NAN}),
        (
            "2026-03-02T08:00",
            {"kind": "CHECK_OUT", "scheduled_start": at("2026-03-02T09:00")},
            {"is_check_out": 1, "minutes_from_start": -60},
        ),
        # The roster: the event's own goes first.
        ("2026-03-02T08:00", {}, {"site_allowed": 1}),
        ("2026-03-02T08:00", {"allowed_sites": ["london"]}, {"site_allowed": 0}),
        ("2026-03-02T08:00", {"allowed_sites": []}, {"site_allowed": 0}),
        (at("2026-03-02T08:00", "sydney"), {"site_id": "sydney"}, {"site_allowed": 0}),
        ("2026-03-02T08:00", {"person_id": "p-2"}, {"site_allowed": NAN}),
        # Nothing is known of a new person: nowhere a 0.
        (
            "2026-03-02T08:00",
            {"scheduled_start": at("2026-03-02T08:00"), "place": HERE, "face_matched": True, "device_id": "d-1"},
            {
                "location_consistency_score": NAN,
                "nearest_usual_m": NAN,
                "check_in_frequency_zscore": NAN,
                "late_arrival_rate": NAN,
                "weekend_work_frequency": NAN,
                "biometric_mismatch_count_30d": NAN,
                "time_since_last_event": NAN,
                "travel_speed_kmh": NAN,
                "claimed_speed_kmh": NAN,
                "accuracy_repeats": NAN,
                "device_familiarity": NAN,
                "accounts_per_device_30d": 1,
                "accounts_on_device_5min": 1,
                "seconds_since_other_account": NAN,
            },
        ),
    ],
)
def test_of_one_event(time: int | str, fields: dict[str, Any], expected: dict[str, float]) -> None:
    found = last(event(time, **fields))
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def days(first: int, count: int, month: int = 3, **fields: Any) -> list[dict[str, Any]]:
    """A check-in at 8 on each of these days, and a check-out at 16."""
    kinds = (("08:00", "CHECK_IN"), ("16:00", "CHECK_OUT"))
    return [
        event(f"2026-{month:02}-{first + day:02}T{hour}", kind=kind, **fields)
        for day in range(count)
        for hour, kind in kinds
    ]


def test_frequency_is_measured_against_the_days_before() -> None:
    # 2 to 6 March (5 days with 1), 7 and 8 without: mean 5/7, and a spread below the least.
    week = days(2, 5)
    monday = event("2026-03-09T08:00"), event("2026-03-09T09:00"), event("2026-03-09T10:00", kind="CHECK_OUT")
    found = [each["check_in_frequency_zscore"] for each in measured(*week, *monday)]
    assert math.isnan(found[0])
    assert math.isnan(found[2]), "one day has no spread"
    assert found[4] == pytest.approx(0), "two days with 1 before one with 1"
    # The check-out sees the two check-ins of its day as well.
    assert found[-3:] == pytest.approx([(1 - 5 / 7) / 0.5, (2 - 5 / 7) / 0.5, (2 - 5 / 7) / 0.5])
    busy = [event(f"2026-03-{day:02}T{hour:02}:00") for day, count in ((2, 1), (3, 5)) for hour in range(8, 8 + count)]
    assert last(*busy, event("2026-03-04T08:00"))["check_in_frequency_zscore"] == pytest.approx((1 - 3) / 2)


def test_rates_are_of_the_thirty_days_before_and_smoothed() -> None:
    def came(day: int, minutes: int, month: int = 3) -> dict[str, Any]:
        start = at(f"2026-{month:02}-{day:02}T08:00")
        return event(start + minutes * 60_000, scheduled_start=start)

    # 10 minutes are not late, 11 are. Today's own is not counted.
    past = [came(2, 0), came(3, 10), came(4, 11)]
    assert [each["late_arrival_rate"] for each in measured(*past, came(5, 60))] == pytest.approx(
        [NAN, 1 / 11, 1 / 12, 2 / 13], nan_ok=True
    )
    # A check-in without a schedule, and a check-out, are no cases.
    more = (
        event("2026-03-05T08:00"),
        event("2026-03-05T18:00", kind="CHECK_OUT", scheduled_start=at("2026-03-05T08:00")),
    )
    assert last(*past, *more, came(6, 0))["late_arrival_rate"] == pytest.approx(2 / 13)
    # 4 March is in the 30 days before 3 April, and no longer in those before 4 April.
    assert last(*past, came(3, 0, month=4))["late_arrival_rate"] == pytest.approx(2 / 11)
    assert math.isnan(last(*past, came(4, 0, month=4))["late_arrival_rate"])


def test_weekend_days_among_worked_days() -> None:
    # Monday 2 to Sunday 8 March; several check-ins of a day are one worked day, check-outs alone are none.
    week = [*days(2, 7), event("2026-03-08T17:00")]
    assert last(*week, event("2026-03-09T08:00"))["weekend_work_frequency"] == pytest.approx((2 + 1) / (7 + 10))
    out = event("2026-03-08T06:00", kind="CHECK_OUT")
    assert math.isnan(last(out, event("2026-03-09T08:00"))["weekend_work_frequency"])
    # Friday and Saturday are the weekend of Saudi Arabia where the tenant has no calendar.
    riyadh = [event(f"2026-03-0{day}T08:00", site_id="riyadh") for day in (5, 6, 7, 8)]
    found = measured(*riyadh, known=references(calendars=()))
    assert [each["is_weekend"] for each in found] == [0, 1, 1, 0]
    assert found[-1]["weekend_work_frequency"] == pytest.approx((2 + 1) / (3 + 10))


def test_mismatches_of_the_days_before() -> None:
    past = [*days(2, 2, face_matched=False), event("2026-03-04T08:00", face_matched=False)]
    assert last(*past)["biometric_mismatch_count_30d"] == 4, "today is no part of it"
    assert last(*past, event("2026-03-05T08:00"))["biometric_mismatch_count_30d"] == 5
    assert last(*past, event("2026-04-02T08:00"))["biometric_mismatch_count_30d"] == 3
    assert last(*past, event("2026-06-01T08:00"))["biometric_mismatch_count_30d"] == 0


def test_places_of_the_last_twenty_located_check_ins() -> None:
    near, far = (52.5 + 0.0013, 13.4), (52.6, 13.4)  # 145 m and 11 km to the north
    past = [event(f"2026-03-02T08:{minute:02}", place=HERE) for minute in range(3)]
    past += [event("2026-03-02T09:00", place=far), event("2026-03-02T10:00", place=far, kind="CHECK_OUT")]
    found = last(*past, event("2026-03-03T08:00", place=near))
    assert found["location_consistency_score"] == 0.75, "a check-out is no check-in"
    assert found["nearest_usual_m"] == pytest.approx(distance_m(*HERE, *near), rel=1e-3)
    many = [event(f"2026-03-02T08:{minute:02}", place=HERE) for minute in range(10)]
    many += [event(f"2026-03-02T09:{minute:02}", place=far) for minute in range(15)]
    assert last(*many, event("2026-03-03T08:00", place=far))["location_consistency_score"] == 0.75
    # On the other side of the date line is not on the other side of the world.
    fiji = event("2026-03-02T08:00", place=(-17.0, 179.9999)), event("2026-03-03T08:00", place=(-17.0, -179.9999))
    assert last(*fiji)["location_consistency_score"] == 1


def test_travel() -> None:
    london = {"site_id": "london", "place": (51.5, -0.1)}
    metres = distance_m(*HERE, 51.5, -0.1)
    start = at("2026-03-02T08:00")
    found = last(event(start, place=HERE), event(start + 3_600_000, **london))
    assert found["travel_speed_kmh"] == pytest.approx(metres / 1000)
    assert found["claimed_speed_kmh"] == pytest.approx(metres / 1000)
    # What both fixes are unsure of is no travel, and at least a minute has passed.
    near = {"place": (52.51, 13.4), "gps_accuracy_m": 500.0}
    found = last(event(start, place=HERE, gps_accuracy_m=100.0), event(start + 1000, **near))
    assert found["travel_speed_kmh"] == pytest.approx((distance_m(*HERE, 52.51, 13.4) - 600) / 1000 * 60)
    assert found["claimed_speed_kmh"] == 0
    # An event without a fix leaves the fix before it.
    found = last(event(start, place=HERE), event(start + 1000), event(start + 3_600_000, **london))
    assert found["travel_speed_kmh"] == pytest.approx(metres / 1000)
    # From and to a site that nobody knows nothing can be claimed.
    odd = event(start, site_id="nowhere", place=HERE)
    assert math.isnan(last(odd, event(start + 1000))["claimed_speed_kmh"])
    assert math.isnan(last(event(start - 1000), odd)["claimed_speed_kmh"])
    assert last(event(start - 3_600_000, **london), odd)["travel_speed_kmh"] == pytest.approx(metres / 1000)


def test_time_since_and_repeated_accuracy() -> None:
    start = at("2026-03-02T08:00")
    first = event(start, place=HERE, gps_accuracy_m=5.0)
    found = last(first, event(start + 90_500, place=HERE, gps_accuracy_m=5.0))
    assert (found["time_since_last_event"], found["accuracy_repeats"]) == (90.5, 1)
    assert last(first, event(start + 1, place=HERE, gps_accuracy_m=5.1))["accuracy_repeats"] == 0
    assert math.isnan(last(first, event(start + 1, place=HERE))["accuracy_repeats"])


def test_devices() -> None:
    start = at("2026-03-02T08:00")

    def used(person: str, seconds: float, device: str = "d-1", tenant: str = "acme") -> dict[str, Any]:
        return event(start + round(seconds * 1000), person_id=person, device_id=device, tenant_id=tenant)

    rows = measured(
        used("a", 0), used("b", 60), used("a", 120), used("c", 86_400), used("a", 86_430, "d-2"),
        used("x", 86_440, tenant="other"), used("a", 31 * 86_400),
    )  # fmt: skip
    names = "accounts_per_device_30d", "accounts_on_device_5min", "seconds_since_other_account", "device_familiarity"
    expected = [
        (1, 1, NAN, NAN),
        (2, 2, 60, NAN),
        (2, 2, 60, 1),
        (3, 1, NAN, NAN),
        (1, 1, NAN, 0),
        (1, 1, NAN, NAN),
        (2, 1, NAN, 2 / 3),  # b was last here more than 30 days ago
    ]
    assert [tuple(row[name] for name in names) for row in rows] == [pytest.approx(row, nan_ok=True) for row in expected]


def test_a_person_at_sites_in_two_zones() -> None:
    # Sunday in Sydney, then still Sunday in Berlin; and Monday in Sydney before Sunday in Berlin ends.
    rows = measured(
        event(at("2026-03-08T08:00", "sydney"), site_id="sydney"),
        event(at("2026-03-08T09:00"), kind="CHECK_IN"),
        event(at("2026-03-09T08:00", "sydney"), site_id="sydney"),
        event(at("2026-03-08T23:00"), kind="CHECK_IN"),
        event(at("2026-03-10T08:00")),
        event(at("2026-03-11T08:00")),
    )
    assert [row["day_of_week"] for row in rows] == [6, 6, 0, 6, 1, 2]
    # The check-in in Berlin that comes last counts in its own day, which is over in Sydney: 3, 1, then 1 a day.
    assert rows[-2]["check_in_frequency_zscore"] == pytest.approx((1 - 2) / 1)
    assert rows[-1]["check_in_frequency_zscore"] == pytest.approx((1 - 5 / 3) / (8 / 9) ** 0.5)
    assert rows[3]["time_since_last_event"] == 3600
    assert rows[-1]["weekend_work_frequency"] == pytest.approx((1 + 1) / (3 + 10))


def test_the_day_that_is_over_elsewhere_has_thirty_days_before_it_too() -> None:
    start = at("2026-03-01T08:00")
    past = [event(start + day * 86_400_000, face_matched=False) for day in range(40)]
    monday = event(at("2026-04-11T08:00", "sydney"), site_id="sydney")
    rows = measured(*past, monday, event(at("2026-04-10T23:30")))
    assert [row["biometric_mismatch_count_30d"] for row in rows[-2:]] == [29, 30]


def test_a_late_event_counts_in_its_day_and_is_nobodys_last() -> None:
    past = days(2, 3, face_matched=True, place=HERE, device_id="d-1")
    late = event("2026-03-03T10:00", face_matched=False, place=(52.6, 13.4), device_id="d-9", gps_accuracy_m=1.0)
    coming = event("2026-03-05T08:00", place=HERE, device_id="d-1", gps_accuracy_m=1.0)
    without, after = last(*past, coming), last(*past, late, coming)
    row = last(*past, late)
    for name in (
        "location_consistency_score", "check_in_frequency_zscore", "time_since_last_event", "device_familiarity",
        "travel_speed_kmh", "claimed_speed_kmh", "nearest_usual_m", "accuracy_repeats",
    ):  # fmt: skip
        assert math.isnan(row[name]), name
    assert row["biometric_mismatch_count_30d"] == 0
    assert row["gps_drift_meters"] > 10_000
    assert after["biometric_mismatch_count_30d"] == 1
    assert without["check_in_frequency_zscore"] == pytest.approx(0)
    assert after["check_in_frequency_zscore"] == pytest.approx((1 - 4 / 3) / 0.5)
    changed = {name for name, value in after.items() if value != without[name] and value == value}
    assert changed == {"biometric_mismatch_count_30d", "check_in_frequency_zscore"}
    # So long ago that its day is forgotten: nothing is learned.
    ancient = event("2025-12-01T08:00", face_matched=False)
    assert last(*past, ancient, coming) == pytest.approx(without, nan_ok=True)
    # A day that the person was not known on before.
    early = event("2026-03-01T08:00", face_matched=False)
    assert last(*past, early, coming)["biometric_mismatch_count_30d"] == 1
    # The order in which two late events come does not matter.
    assert last(*past, late, early, coming) == pytest.approx(last(*past, early, late, coming), nan_ok=True)


def test_an_event_of_an_unknown_site_goes_on_counting() -> None:
    odd = [event(at(f"2026-03-0{day}T08:00"), site_id="nowhere", face_matched=False) for day in (2, 3, 4)]
    row = last(*odd, event("2026-03-05T08:00"))
    assert row["biometric_mismatch_count_30d"] == 3
    assert math.isnan(row["weekend_work_frequency"]), "nobody knows whether it was a weekend there"


def test_sites_calendars_and_rosters_change() -> None:
    moved = SITES[0] | {"latitude": 52.6, "updated_at": at("2026-03-03T00:00")}
    own = {"tenant_id": "acme", "weekend_days": [0], "holidays": [], "updated_at": at("2026-03-09T00:00")}
    roster = {"tenant_id": "acme", "person_id": "p-1", "allowed_sites": [], "updated_at": at("2026-03-09T00:00")}
    known = references([*SITES, moved], [own | {"updated_at": 1, "weekend_days": [6]}, own], [roster])
    rows = measured(*(event(f"2026-03-{day:02}T08:00", place=HERE) for day in (1, 2, 3, 8, 9)), known=known)
    assert [round(row["gps_drift_meters"]) for row in rows] == [0, 0, 11120, 11120, 11120]
    assert [row["is_weekend"] for row in rows] == [1, 0, 0, 1, 1]
    assert [row["site_allowed"] for row in rows] == [0] * 5, "the oldest holds from the beginning"


def test_the_docs_name_every_feature() -> None:
    text = (Path(__file__).parents[3] / "docs" / "fraud.md").read_text()
    for feature in FEATURES:
        assert f"| {feature.name} | {feature.unit or 'count'} | {feature.doc} | {feature.missing} |" in text
