"""What is kept of a text that was read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ocr.gate import PLACES, Gate
from models.ocr.plates import known
from models.ocr.redaction import Keys, classes, meter, plate, prints, redact_plate

KEY = Keys(b"s" * 32).of("acme")
PLATES = st.text(st.sampled_from("ABC019"), min_size=3, max_size=9)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("004512", "004512"),
        (" 0045.12 ", "004512"),
        ("0O4512", "0?4512"),
        ("004512 kWh", "004512"),
        ("004512 m3", "004512"),
        ("004512 Jan", "004512???"),
        ("Jane Doe", "?"),
        ("jane@example.org", "?"),
        ("+49 171 2345678", "?"),
        ("HH-AB 1234", "?"),
        ("", ""),
    ],
)
def test_of_a_meter_digits_stay(raw: str, kept: str) -> None:
    assert meter(raw) == kept


@given(st.text(max_size=60))
def test_of_a_meter_nothing_but_digits_stays(raw: str) -> None:
    assert set(meter(raw)) <= set("0123456789?")
    assert set(classes(raw)) <= set("A9-?")


def test_plates_stay_only_where_that_is_allowed() -> None:
    raw = "hh-ab 1234"
    found = prints(KEY, plate(raw))
    hidden, shown = redact_plate(raw, found, plain=False), redact_plate(raw, found, plain=True)
    assert hidden.text == "AA-AA-9999"
    assert shown.text == "HHAB1234"
    assert hidden.fingerprints == shown.fingerprints
    assert len(hidden.fingerprints) == 9
    assert all(len(each) == 32 for each in hidden.fingerprints)
    for other in ("jane.doe@example.org", "Jane Doe", "0171 2345678"):
        assert redact_plate(other, None, plain=True).text == classes(other)


def test_without_a_secret_there_are_no_fingerprints() -> None:
    assert Keys().of("acme") is None
    assert prints(None, "HHAB1234") is None
    with pytest.raises(ValueError, match="32 bytes, not 5"):
        Keys(b"short")


def test_keys_and_so_fingerprints_differ_between_tenants_and_stay_out_of_texts() -> None:
    keys = Keys(b"s" * 32)
    one, other = (prints(keys.of(tenant), "HHAB1234") for tenant in ("acme", "umbrella"))
    assert one is not None
    assert other is not None
    assert not set(one.kept) & set(other.kept)
    assert "ssss" not in repr(keys)


def distance(one: str, other: str) -> int:
    """Of Levenshtein."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


EDITS = {
    "same": lambda text, place, char: text,
    "change": lambda text, place, char: text[:place] + char + text[place + 1 :],
    "insert": lambda text, place, char: text[:place] + char + text[place:],
    "drop": lambda text, place, char: text[:place] + text[place + 1 :],
    "swap": lambda text, place, char: text[:place] + text[place : place + 2][::-1] + text[place + 2 :],
}


@given(PLATES, st.sampled_from(sorted(EDITS)), st.integers(0, 8), st.sampled_from("ABC019"))
def test_fingerprints_tell_what_differs_in_one_character(seen: str, edit: str, place: int, char: str) -> None:
    asked = EDITS[edit](seen, min(place, len(seen) - 1), char)
    gate = Gate()
    there, here = prints(KEY, seen), prints(KEY, asked)
    assert there is not None
    assert here is not None
    gate.confirm(there, 1)
    found = gate.look(here)
    assert found.known == (seen == asked)
    # The plate itself is no other plate.
    assert found.near_known == (distance(seen, asked) == 1)


def test_a_gate_comes_back_from_its_slots_and_forgets_who_came_longest_ago() -> None:
    gate = Gate()
    stored: dict[bytes, bytes] = {}
    for number in range(PLACES + 20):
        made: Any = prints(KEY, f"AB{number:04}")
        gate.see(made, day=number)
        if number == 3:
            gate.confirm(made, day=number)
        stored.update((name, raw) for name, raw in gate.changes() if raw is not None)
    again = Gate.load(b"acme|vehicle_entry|g", stored.get)
    assert len(again) == PLACES
    assert max(map(len, stored.values())) < 100
    for number, there in ((0, 0), (3, 1), (19, 0), (21, 1), (PLACES + 19, 1)):
        asked: Any = prints(KEY, f"AB{number:04}")
        assert again.look(asked) == gate.look(asked)
        assert again.look(asked).times == there, number
    del stored[b"\0\x05"]
    with pytest.raises(ValueError, match="lack slot 5"):
        Gate.load(b"acme|vehicle_entry|g", stored.get)


def test_forms_of_plates() -> None:
    assert known("HHAB1234")
    assert known("AB123CD", "FR")
    assert not known("AB123CD", "DE")
    assert not known("1234567")
    assert not known("")
