"""The feature sets of the fraud model: names, units and what a missing value means.

A vector is a sequence of float64 in the order of its set; NaN stands for what cannot be computed.
"""

from models.features import NEVER, Feature

_NO_SITE = "the site is unknown"
_NO_FIX = "no fix"
_NO_DEVICE = "no device"
_NEW = "no day of the person before"

_FIRST = (
    Feature("hour_of_day", "h", "time of day by the clock of the site, 0 to 23.99", _NO_SITE),
    Feature("day_of_week", "", "day of the week at the site; 0 Monday to 6 Sunday", _NO_SITE),
    Feature("is_weekend", "0/1", "whether it is a day of the tenant's weekend, else of the country's", _NO_SITE),
    Feature(
        "is_holiday",
        "0/1",
        "whether it is a public holiday at the site or one of the tenant's own",
        _NO_SITE + ", or its country's holidays are",
    ),
    Feature("gps_drift_meters", "m", "great-circle distance from the site's centre", _NO_FIX + ", or " + _NO_SITE),
    Feature(
        "location_consistency_score",
        "share",
        "of the person's last 20 located check-ins, those within 150 m of this event",
        _NO_FIX + ", no located check-in before, or a late event",
    ),
    Feature(
        "check_in_frequency_zscore",
        "sd",
        "today's check-ins so far against the daily counts of the 30 days before",
        "fewer than 2 days of the person before, or a late event",
    ),
    Feature(
        "late_arrival_rate",
        "share",
        "of scheduled check-ins of the 30 days before, those over 10 min after the start; smoothed",
        "no scheduled check-in in them",
    ),
    Feature(
        "weekend_work_frequency",
        "share",
        "of days with a check-in of the 30 days before, those of a weekend; smoothed",
        "no such day in them",
    ),
    Feature("face_recognition_confidence", "share", "similarity of the face to the enrolled one", "no picture"),
    Feature("biometric_mismatch_count_30d", "", "events of the 30 days before whose face did not match", _NEW),
    Feature("time_since_last_event", "s", "since the person's event before", "the first event, or a late one"),
)
_FURTHER = (
    Feature("accounts_per_device_30d", "", "people on the device in 30 days, this one included", _NO_DEVICE),
    Feature("accounts_on_device_5min", "", "people on the device in 5 minutes, this one included", _NO_DEVICE),
    Feature(
        "seconds_since_other_account",
        "s",
        "since the device was used by somebody else",
        _NO_DEVICE + ", or nobody else in 5 minutes",
    ),
    Feature(
        "device_familiarity",
        "share",
        "of the person's last 20 events with a device, those on this one",
        _NO_DEVICE + ", no event with one before, or a late event",
    ),
    Feature(
        "travel_speed_kmh",
        "km/h",
        "from the person's fix before to this one, less what both are unsure of, over at least a minute",
        _NO_FIX + ", none before, or a late event",
    ),
    Feature(
        "claimed_speed_kmh",
        "km/h",
        "from the centre of the site of the person's event before to that of this one, over at least a minute",
        "one of the sites is unknown, the first event, or a late one",
    ),
    Feature("fix_age_s", "s", "age of the fix", "not told"),
    Feature("gps_accuracy_m", "m", "what the device believes of its fix", "not told"),
    Feature("mock_location", "0/1", "whether the system says that an app made up the location", "it does not say"),
    Feature(
        "beyond_radius_m",
        "m",
        "distance from the site's centre less its radius; under 0 on the site",
        _NO_FIX + ", or " + _NO_SITE,
    ),
    Feature(
        "nearest_usual_m",
        "m",
        "distance to the nearest of the person's last 20 located check-ins",
        "as location_consistency_score",
    ),
    Feature("site_allowed", "0/1", "whether the roster lets the person work at the site", "no roster is known"),
    Feature("missing_fix", "0/1", "whether the event has no fix", NEVER),
    Feature("face_matched", "0/1", "whether the sender took the face for the same", "no picture"),
    Feature("is_check_out", "0/1", "whether it is a check-out", NEVER),
    Feature("minutes_from_start", "min", "since the start of the shift on the roster; under 0 before", "not scheduled"),
    Feature(
        "accuracy_repeats",
        "0/1",
        "whether the accuracy is, to the last digit, that of the person's fix before",
        "no accuracy here or before, or a late event",
    ),
)

FEATURES: tuple[Feature, ...] = _FIRST + _FURTHER
"""Every feature, in the order of the vectors."""

FEATURES_V1: tuple[str, ...] = tuple(feature.name for feature in _FIRST)
FEATURES_V2: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

FEATURE_SETS: dict[str, tuple[str, ...]] = {"fraud_v1": FEATURES_V1, "fraud_v2": FEATURES_V2}
"""Names of the features by feature set; a set with more features begins with those of the one before."""

PLACE: dict[str, int] = {name: place for place, name in enumerate(FEATURES_V2)}
"""Where a feature stands in a vector, of either set."""

LARGEST = max(FEATURE_SETS, key=lambda name: len(FEATURE_SETS[name]))
"""The feature set that all others begin."""
