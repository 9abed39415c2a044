"""When tickets may be opened without a person: the exact test, its sequence, and the reviews that are missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from models.certificate import FIRST, Certificate, certify, missing, proves


@pytest.mark.parametrize(("share", "least"), [(100, 11), (95, 18), (90, 38), (85, 126)])
def test_so_many_reviews_are_needed(share: int, least: int) -> None:
    enough = [reviews for reviews in range(1, least + 1) if proves(reviews, share * reviews // 100)]
    assert enough == [least]


@given(reviews=st.integers(1, 300), data=st.data())
def test_the_proof_is_the_lower_bound_of_clopper_and_pearson(reviews: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, reviews))
    bound = beta.ppf(0.1, correct, reviews - correct + 1) if correct else 0.0
    assert proves(reviews, correct) == (bound >= 0.8)


@given(reviews=st.integers(0, 200), data=st.data())
def test_what_is_missing_is_the_least_that_makes_the_proof(reviews: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, reviews))
    found = missing(reviews, correct)

    def after(further: int) -> bool:
        more = correct * further // reviews if reviews else further
        return proves(reviews + further, correct + more)

    if found is None:
        assert correct <= 0.81 * reviews
    else:
        assert after(found)
        assert not any(after(fewer) for fewer in range(max(0, found - 50), found))


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ("", Certificate(None, 0, 0, 11)),
        ("1" * 10, Certificate(None, 10, 10, 1)),
        ("1" * 11, Certificate(0.8, 11, 11, 0)),
        ("0" + "1" * 17, Certificate(0.8, 18, 17, 0)),
        ("1" * 16 + "0", Certificate(None, 17, 16, 8)),
        ("10" * 10, Certificate(None, 20, 10, None)),
    ],
)
def test_few_reviews_are_one_claim_about_all_of_them(right: str, expected: Certificate) -> None:
    scores = np.linspace(0.99, 0.81, len(right))
    assert certify(scores, [mark == "1" for mark in right], floor=0.8) == expected


def test_the_test_goes_down_the_score_until_it_fails() -> None:
    scores = np.linspace(1.0, 0.8, 401)
    correct = scores >= 0.9  # the first 201
    found = certify(scores, correct, floor=0.8)
    assert found.since is not None
    assert proves(found.reviews, found.correct)
    assert not proves(found.reviews + 1, found.correct)
    assert found.since == scores[found.reviews - 1] > 0.8
    assert found.correct == 201
    assert certify(scores, np.ones(401), floor=0.8) == Certificate(0.8, 401, 401, 0)
    # The order in which reviews come does not matter.
    mixed = np.random.default_rng(1).permutation(401)
    assert certify(scores[mixed], correct[mixed], floor=0.8) == found


def test_the_first_claim_is_not_helped_by_what_comes_after_it() -> None:
    scores = np.linspace(1.0, 0.8, 1000)
    assert certify(scores, np.arange(1000) >= 60, floor=0.8).since is None
    assert certify(scores, np.arange(1000) >= 60, floor=0.8).reviews == FIRST


def test_equal_scores_stand_or_fall_together() -> None:
    scores = np.repeat([0.95, 0.9], [140, 60])
    correct = np.arange(200) < 150
    assert certify(scores, correct, floor=0.8) == Certificate(0.95, 140, 140, 0)


def test_a_case_below_the_floor_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"from 0\.8 on, not 0\.79"):
        certify([0.9, 0.79], [True, True], floor=0.8)


def test_a_precision_just_too_low_is_certified_in_at_most_one_of_ten_tries() -> None:
    rng = np.random.default_rng(3)
    tries = 150
    wrong = sum(certify(rng.uniform(0.8, 1, 300), rng.random(300) < 0.799, 0.8).since is not None for _ in range(tries))
    assert wrong <= 0.1 * tries + 2 * (tries * 0.1 * 0.9) ** 0.5
    right = sum(certify(rng.uniform(0.8, 1, 300), rng.random(300) < 0.93, 0.8).since is not None for _ in range(30))
    assert right >= 29
