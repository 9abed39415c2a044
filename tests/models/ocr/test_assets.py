"""Readings measured against what is confirmed, and what is learned of them."""

import math
import random
from typing import Any

import numpy as np
import pytest

from models.ocr import heuristic
from models.ocr.assets import Assets, Remembered, Rules, correct, corrected, measure, text_of, verdict
from models.ocr.device import UNSEEN, Device, judge, read_once, unpack_device
from models.ocr.features import FEATURES, NAMES, PLACE
from models.ocr.meter import NEW, Shown, confirm, number, unpack_meter
from models.ocr.redaction import NO_KEYS, Keys
from models.readings import METER, RIGHT, UNSURE, VEHICLE, WRONG

DAY = 86_400_000
START = 20_000 * DAY
KEYS = Keys(b"s" * 32)
KEY = b"acme|meter_reading|m"


def event(text: str, day: float, source: str = METER, **other: Any) -> dict[str, Any]:
    base = {
        "tenant_id": "acme",
        "event_id": f"e{day}",
        "source_type": source,
        "source_id": f"s{day}",
        "asset_id": "m",
        "raw_text": text,
        "value": None,
        "unit": None,
        "confidence": 0.9,
        "engine": "x",
        "engine_version": "1",
        "image_uri": "i",
        "occurred_at": START + int(day * DAY),
    }
    return base | other


def outcome(text: str, source: str = METER, **other: Any) -> dict[str, Any]:
    return {"tenant_id": "acme", "source_type": source, "corrected_text": text} | other


class Site:
    """Readings of one asset and what is said of them."""

    def __init__(self, source: str = METER, rules: Rules | None = None, keys: Keys = KEYS) -> None:
        self.assets, self.source, self.rules, self.keys = Assets(), source, rules or Rules(), keys

    def read(self, text: str, day: float, **other: Any) -> tuple[dict[str, float], str | None, bool, Remembered]:
        one = event(text, day, self.source, **other)
        found = text_of(one, self.rules, self.keys)
        row, advice, ask = measure(self.assets, KEY, one, found, self.rules)
        return dict(zip(NAMES, row, strict=True)), advice, ask, Remembered.of(one, found)

    def says(self, reading: Remembered, text: str) -> str:
        was = corrected(outcome(text, self.source), self.rules, self.keys)
        said = verdict(self.source, reading, was)
        correct(self.assets, KEY, self.source, reading, was, said)
        return said

    def confirmed(self, *values: int) -> None:
        """A reading a day, each confirmed."""
        for day, value in enumerate(values):
            assert self.says(self.read(f"{value:06}", day)[3], f"{value:06}") == RIGHT


def test_the_vector_has_a_name_for_each_place() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) == 19
    features, *_ = Site().read("001000", 0)
    assert features["confidence"] == 0.9
    assert math.isnan(features["backwards"])
    assert features["implausible"] == 0.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("001045", None),
        ("001039", "less than 1040"),
        ("001945", "times as fast as usual"),
        ("01050", "5 digits, confirmed readings have 6"),
        ("0010I5", "no number"),
    ],
)
def test_implausible_by_what_is_confirmed(text: str, why: str | None) -> None:
    site = Site()
    site.confirmed(1000, 1010, 1020, 1030, 1040)
    features, advice, _, _ = site.read(text, 5)
    assert features["implausible"] == float(why is not None)
    assert (advice is None) if why is None else (why in (advice or ""))


def test_a_counter_that_begins_anew_is_plausible() -> None:
    site = Site()
    site.confirmed(999_960, 999_970, 999_980, 999_990)
    assert site.read("000001", 4)[0]["implausible"] == 0.0
    assert site.read("500000", 5)[0]["implausible"] == 1.0


def test_a_reading_that_nobody_confirmed_changes_no_verdict_of_plausibility() -> None:
    """Whatever an engine reads in between, what is confirmed alone decides."""
    r = random.Random(1)
    quiet, noisy = Site(), Site()
    for site in (quiet, noisy):
        site.confirmed(1000, 1010, 1020, 1030, 1040)
    for number_of in range(50):
        noisy.read(f"{r.randrange(10**6):06}", 5 + number_of / 100)
    names = ("backwards", "rate_ratio", "digits_more", "days_since_confirmed", "implausible")
    for text in ("001060", "001010", "009999"):
        one, other = quiet.read(text, 6)[0], noisy.read(text, 6)[0]
        assert [one[name] for name in names] == [other[name] for name in names]


def test_after_three_rejections_that_agree_a_person_is_asked_once() -> None:
    site = Site()
    site.confirmed(1000, 1010, 1020, 1030, 1040)
    # A new meter: lower than what is confirmed, and counting on.
    asked = [site.read(f"{value:06}", 5 + day)[2] for day, value in enumerate((3, 14, 25, 33, 41))]
    assert asked == [False, False, True, False, False]
    # Rejections that contradict each other are no reason.
    other = Site()
    other.confirmed(1000, 1010, 1020, 1030, 1040)
    assert not any(other.read(text, 5 + day)[2] for day, text in enumerate(("000900", "000500", "000800", "000100")))


def test_what_people_say_confirms_and_mends_the_baseline() -> None:
    site = Site()
    site.confirmed(1000, 1010, 1020, 1030)
    reading = site.read("001940", 4)[3]
    assert site.says(reading, "001040") == WRONG
    assert site.read("001050", 5)[0]["implausible"] == 0.0
    assert site.read("001039", 6)[0]["implausible"] == 1.0


def test_confusions_of_a_device_are_learned_and_suggest_the_right_text() -> None:
    site = Site()
    site.confirmed(*range(3000, 3100, 10))
    before = site.read("003100", 10)[0]["confusion_risk"]
    for day, (read, was) in enumerate((("003170", "003110"), ("003720", "003120"), ("003730", "003130"))):
        site.says(site.read(read, 11 + day)[3], was)
    device = site.assets.devices[KEY]
    assert device is not None
    assert device.alternatives("7")[0] == "1"
    assert dict(device.confused)["7", "1"] == 3
    features, advice, _, _ = site.read("003740", 14)
    assert features["mendable"] == 1.0
    assert features["confusion_risk"] > before
    assert "perhaps 003140" in (advice or "")


def test_what_a_device_confuses_most_often_comes_first() -> None:
    device = UNSEEN
    for was in "494":
        device = judge(device, "7", was, True)
    assert device.alternatives("7") == ["4", "9", "1"]
    assert device.alternatives("8") == ["3", "B"]


def test_the_confidence_is_compared_with_the_assets_own() -> None:
    site = Site()
    for day in range(8):
        features, *_ = site.read(f"{1000 + day:06}", day, confidence=0.9)
        assert math.isnan(features["confidence_shift"])
    features, *_ = site.read("001008", 8, confidence=0.6)
    assert features["confidence_shift"] == pytest.approx(-0.3, abs=0.01)
    assert features["confidence_rank"] == 0.0


def test_plates_of_a_gate() -> None:
    site = Site(VEHICLE)
    reading = site.read("HH-AB 1234", 0)[3]
    assert site.says(reading, "hh ab 1234") == RIGHT
    features, advice, _, _ = site.read("HH-AB 1284", 1)
    assert (features["plate_known"], features["near_known"], features["implausible"]) == (0.0, 1.0, 0.0)
    assert "1234" not in (advice or "")
    assert "1284" not in (advice or "")
    assert site.read("HH-AB 1234", 2)[0]["plate_known"] == 1.0
    assert site.read("???", 3)[0]["implausible"] == 1.0


def test_without_a_key_plates_are_not_compared() -> None:
    site = Site(VEHICLE, keys=NO_KEYS)
    reading = site.read("HH-AB 1234", 0)[3]
    assert site.says(reading, "HH-AB 1284") == UNSURE
    assert site.says(reading, "HH-AB 12") == WRONG  # they have different forms
    features, *_ = site.read("HH-AB 1284", 1)
    assert math.isnan(features["near_known"])
    plain = Site(VEHICLE, Rules(plain=True), NO_KEYS)
    reading = plain.read("HH-AB 1234", 0)[3]
    assert plain.says(reading, "HH-AB 1284") == WRONG
    assert plain.says(reading, "HHAB 1234") == RIGHT


def test_the_heuristic() -> None:
    table = np.full((4, len(NAMES)), np.nan)
    table[:, PLACE["confidence"]] = (0.9, 0.9, 0.1, 0.1)
    table[:, PLACE["implausible"]] = (0, 1, 0, 1)
    assert heuristic.probabilities(table) == pytest.approx([0.1, 0.8, 0.9, 0.9])


def test_what_is_remembered_is_small_and_comes_back() -> None:
    r = random.Random(2)
    device, meter = UNSEEN, NEW
    for day in range(400):
        device = read_once(device, r.random())
        text = "".join(r.choice("0123456789ABCDEFGHIJ") for _ in range(9))
        device = judge(device, text, "".join(r.sample(text, 9)), True)
        meter = confirm(meter, Shown(day * DAY, r.random(), 6))
        assert unpack_device(device.pack()) == device
        assert unpack_meter(meter.pack()) == meter
    assert len(device.pack()) < 400
    assert len(meter.pack()) < 450
    assert isinstance(device, Device)


@pytest.mark.parametrize(
    ("text", "value"),
    [("004512", 4512.0), ("4512,5 kWh", 4512.5), ("45 12", 4512.0), ("45O2", None), ("", None), ("-3", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "engines", "kept"),
    [
        ("004512", None, 4512.0),
        ("004512", 45.12, 45.12),
        ("?", 4512.0, None),
        ("491511234,5678", None, None),
        ("+49 151 12345678", 4915112345678.0, None),
        ("12345", 4915112345678.0, None),
    ],
)
def test_a_number_is_kept_beside_what_a_meter_shows_alone(text: str, engines: float | None, kept: float | None) -> None:
    """A telephone number is none, whether the engine says it or the text."""
    assert text_of(event(text, 0, value=engines)).value == kept
