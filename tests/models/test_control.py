"""The catalogue of settings and the values that they take."""

import pytest

from models.control import DEFAULTS, REFERENCES, SETTINGS, InvalidValue, Value, is_scope, setting_of
from schemas import topics


def test_every_setting_is_whole() -> None:
    known = {topic.name for topic in topics.CONTROL}
    for name, setting in SETTINGS.items():
        assert name == setting.name
        assert setting.topic in known
        assert setting.doc.endswith(".")
        assert DEFAULTS[setting.topic, name] == setting.default
        if setting.pattern is not None or setting.record is not None:
            continue
        default = str(setting.default).lower()
        assert setting.read(default) == setting.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tuning", "true", True),
        ("tuning", " false ", False),
        ("alert_budget", "0", 0),
        ("alert_budget", "10000", 10_000),
        ("anomaly_threshold", "0.7", 0.7),
        ("anomaly_threshold", "1", 1.0),
        ("anomaly_threshold", "5e-1", 0.5),
        ("release", '"all"', "all"),
        ("release", '"metrics"', "metrics"),
        ("release", '"metrics/12"', "metrics/12"),
        ("fraud_cuts", '"0.02/0.1/0.5"', "0.02/0.1/0.5"),
        ("fraud_certificate", '"acme/@all/v20260401_060000@0.83"', "acme/@all/v20260401_060000@0.83"),
        ("fraud_certificate", '"none"', "none"),
    ],
)
def test_good_values(name: str, text: str, value: Value) -> None:
    found = SETTINGS[name].read(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tuning", "1", "tuning must be true or false, not 1"),
        ("tuning", '"true"', "tuning must be true or false"),
        ("tuning", "True", "tuning must be true or false"),
        ("tuning", "null", "tuning must be true or false, not null"),
        ("tuning", "", "tuning must be true or false, not "),
        ("alert_budget", "10.5", r"alert_budget must be a whole number from 0 to 10000 \(alerts .*\), not 10\.5"),
        ("alert_budget", "true", "must be a whole number"),
        ("alert_budget", "-1", "must be a whole number from 0 to 10000"),
        ("alert_budget", "10001", "must be a whole number from 0 to 10000"),
        ("alert_budget", "9" * 90, "must be a whole number from 0 to 10000"),
        ("anomaly_threshold", "1.01", "anomaly_threshold must be a number from 0 to 1, not 1.01"),
        ("anomaly_threshold", "NaN", "must be a number from 0 to 1"),
        ("anomaly_threshold", "Infinity", "must be a number from 0 to 1"),
        ("anomaly_threshold", "[0.5]", "must be a number from 0 to 1"),
        ("anomaly_threshold", "[" * 100_000, "must be a number from 0 to 1"),
        ("release", "metrics", "release must be a text of the form all"),
        ("release", '""', "release must be a text of the form all"),
        ("release", '"metrics/"', "release must be a text of the form all"),
        ("release", '"metrics/1 "', "release must be a text of the form all"),
        ("release", "1", "release must be a text of the form all"),
        ("anomaly_threshold", "0." + "5" * 200, "must be a number from 0 to 1"),
        ("fraud_cuts", '"0.1/0.5"', "fraud_cuts must be a text of the form"),
        ("fraud_cuts", '"0.1/nan/0.5"', "fraud_cuts must be a text of the form"),
        ("fraud_cuts", '"0.1/0.05/0.5"', "fraud_cuts cannot be 0.1/0.05/0.5: cuts must be finite"),
        ("fraud_cuts", '"0/0.05/0.5"', "cuts must be finite, above 0 and ascending"),
        ("fraud_certificate", '"v20260401_060000@0.8"', "fraud_certificate must be a text of the form none|"),
        ("fraud_certificate", '"acme/@all/v20260401_060000"', "fraud_certificate must be a text of the form none|"),
        ("fraud_certificate", '"acme/@all/v20260401_060000@1.1"', "begins at a p0 from 0 to 1"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_with_what_was_expected(name: str, text: str, expected: str) -> None:
    with pytest.raises(InvalidValue, match=expected) as caught:
        SETTINGS[name].read(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("tenant", ["*", "acme", "a-1_b", "0", "a" * 63])
def test_scopes(tenant: str) -> None:
    assert is_scope(tenant)


@pytest.mark.parametrize("tenant", ["", "A", "a|b", "**", "-a", "a" * 64, "a\n", "a b"])
def test_what_is_no_scope(tenant: str) -> None:
    assert not is_scope(tenant)


SITE = """{"latitude": 52.5, "longitude": 13, "radius_m": 150, "timezone": "Europe/Berlin", "country": "DE"}"""


def test_records_of_reference_data() -> None:
    site = SETTINGS["site"].read(SITE)
    assert site == {
        "latitude": 52.5, "longitude": 13.0, "radius_m": 150.0, "timezone": "Europe/Berlin", "country": "DE",
        "subdivision": None,
    }  # fmt: skip
    assert SETTINGS["calendar"].read('{"weekend_days": [4]}') == {"weekend_days": [4], "holidays": []}
    assert SETTINGS["roster"].read('{"allowed_sites": []}') == {"allowed_sites": []}
    assert setting_of("site|berlin 1").name == "site"
    assert REFERENCES.keys() == {topic.name for topic in topics.REFERENCE}


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("site", SITE.replace("150", "0"), "radius_m must be over 0"),
        ("site", SITE.replace("52.5", '"north"'), "site must be an object with the fields of control.sites .*latitude"),
        ("site", SITE.replace('"country": "DE"', '"town": "Berlin"'), "country"),
        ("site", SITE.replace("13,", "NaN,"), "longitude must be -180 to 180"),
        ("site", SITE.replace("{", '{"site_id": "x", '), "no field site_id"),
        ("site", SITE.replace("{", '{"updated_at": 1, '), "no field updated_at"),
        ("site", "[]", "site must be an object"),
        ("site", "{", "site must be an object"),
        ("calendar", '{"weekend_days": [7]}', "0 Monday to 6 Sunday"),
        ("roster", '{"allowed_sites": ["a|b"]}', "allowed_sites: each"),
        ("roster", '{"allowed_sites": "' + "x" * 100_000 + '"}', "roster must be an object"),
    ],
)
def test_bad_records_of_reference_data(name: str, text: str, wrong: str) -> None:
    with pytest.raises(InvalidValue, match=wrong):
        SETTINGS[name].read(text)


@pytest.mark.parametrize("name", ["site", "site|", "roster| x", "calendar|x"])
def test_bad_names_of_reference_data(name: str) -> None:
    with pytest.raises(ValueError, match=r"the id after the \| must be|has no scopes"):
        setting_of(name)
