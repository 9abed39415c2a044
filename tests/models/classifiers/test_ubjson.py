"""Binary JSON as XGBoost writes it, and what is no such thing."""

import json
from contextlib import suppress

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from models.classifiers.ubjson import UbjsonError, decode


def test_a_booster_is_read_as_the_library_writes_it_as_text() -> None:
    rng = np.random.default_rng(1)
    matrix = xgboost.DMatrix(rng.normal(size=(200, 3)), label=rng.random(200) < 0.4)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 3)
    text, binary = (json.loads(booster.save_raw("json").decode()), decode(bytes(booster.save_raw("ubj"))))

    def same(one: object, other: object) -> None:
        if isinstance(one, dict):
            assert isinstance(other, dict)
            assert one.keys() == other.keys()
            for name, value in one.items():
                same(value, other[name])
        elif isinstance(one, list) and isinstance(other, list):
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                same(left, right)
        elif isinstance(other, np.ndarray):
            assert other.tolist() == pytest.approx(one, rel=1e-6)
        else:
            assert one == other

    same(text, binary)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"Z", None),
        (b"[TF]", [True, False]),
        (b"{U\x01ai\xff}", {"a": -1}),
        (b"[#U\x02I\x01\x00D\x3f\xf0\x00\x00\x00\x00\x00\x00", [256, 1.0]),
        (b"SL\x00\x00\x00\x00\x00\x00\x00\x02\xc3\xa4", "ä"),
        (b"[[]{}]", [[], {}]),
    ],
)
def test_values(raw: bytes, value: object) -> None:
    assert decode(raw) == value
    with pytest.raises(UbjsonError, match="1 bytes come after the end"):
        decode(raw + b"Z")
    for end in range(len(raw)):
        with pytest.raises(UbjsonError, match=r"byte|expected"):
            decode(raw[:end])


def test_an_array_of_one_type_is_one_of_numpy() -> None:
    found = decode(b"[$l#L\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x07\xff\xff\xff\xff")
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [7, -1]


@pytest.mark.parametrize(
    "raw", [b"x", b"Si\xff", b"SZ", b"[$S#U\x01", b"[$U#L\x7f" + b"\xff" * 7, b"[" * 50, b"SU\x01\xff", b"{U\x01\xff"]
)
def test_what_is_no_value_is_refused(raw: bytes) -> None:
    with pytest.raises(UbjsonError, match="byte"):
        decode(raw)


@given(raw=st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    with suppress(UbjsonError):
        decode(raw)
