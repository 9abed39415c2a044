"""The decision table row by row, cuts from a calibration slice, and batches cut anywhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decisions import (
    ALERT,
    CLEAR,
    CRITICAL,
    DECISIONS,
    HIGH,
    LOW,
    MEDIUM,
    RISKS,
    TICKET,
    Cuts,
    Policies,
    Policy,
    decide,
)

POLICY = Policy(Cuts(0.1, 0.3, 0.7), auto_ticket=True, certified=0.8)
QUIET = replace(POLICY, auto_ticket=False)
OPEN = replace(POLICY, certified=None)

CHECKED = replace(POLICY, narrow=0.125)
STRICT = replace(POLICY, certified=0.9)
EAGER = replace(POLICY, act=0.5, certified=0.5)
BLIND = replace(POLICY, cuts=Cuts(0.95, 0.96, 0.97))
BOLD = replace(POLICY, clear=0.25)

TABLE = [
    # policy, probability, p0, p1, demanded -> risk, decision, review, certified
    ("sure, narrow, certified", POLICY, 0.9, 0.85, 0.95, LOW, "CRITICAL", "ticket", False, True),
    ("at tau_act exactly", POLICY, 0.85, 0.8, 0.9, LOW, "CRITICAL", "ticket", False, True),
    ("p0 just below tau_act", POLICY, 0.85, 0.799, 0.9, LOW, "CRITICAL", "alert", False, False),
    ("narrow", CHECKED, 0.9, 0.875, 0.99, LOW, "CRITICAL", "ticket", False, True),
    ("as wide as narrow is too wide", CHECKED, 0.9, 0.875, 1.0, LOW, "CRITICAL", "alert", False, True),
    ("flag off", QUIET, 0.9, 0.85, 0.95, LOW, "CRITICAL", "alert", False, True),
    ("no certificate", OPEN, 0.9, 0.85, 0.95, LOW, "CRITICAL", "alert", False, False),
    ("certified from further up", STRICT, 0.9, 0.85, 0.95, LOW, "CRITICAL", "alert", False, False),
    ("a lower tau_act", EAGER, 0.6, 0.55, 0.65, LOW, "HIGH", "ticket", False, True),
    ("a ticket whatever the risk", BLIND, 0.9, 0.85, 0.94, LOW, "LOW", "ticket", False, True),
    ("CRITICAL", POLICY, 0.7, 0.6, 0.75, LOW, "CRITICAL", "alert", False, False),
    ("HIGH at its cut", POLICY, 0.3, 0.2, 0.35, LOW, "HIGH", "alert", False, False),
    ("MEDIUM, p1 above tau_clear", POLICY, 0.2, 0.15, 0.25, LOW, "MEDIUM", "clear", True, False),
    ("MEDIUM below the tenant's tau_clear", BOLD, 0.2, 0.15, 0.25, LOW, "MEDIUM", "clear", False, False),
    ("LOW, p1 at tau_clear", POLICY, 0.05, 0.0, 0.1, LOW, "LOW", "clear", False, False),
    ("LOW, p1 above tau_clear", POLICY, 0.05, 0.0, 0.11, LOW, "LOW", "clear", True, False),
    ("a hard rule raises", POLICY, 0.01, 0.0, 0.02, HIGH, "HIGH", "alert", False, False),
    ("a hard rule does not lower", POLICY, 0.75, 0.6, 0.79, MEDIUM, "CRITICAL", "alert", False, False),
    ("a hard rule opens no ticket", POLICY, 0.5, 0.4, 0.55, CRITICAL, "CRITICAL", "alert", False, False),
    ("a hard rule keeps the ticket", POLICY, 0.9, 0.85, 0.95, CRITICAL, "CRITICAL", "ticket", False, True),
    ("a hard rule of MEDIUM", POLICY, 0.01, 0.0, 0.02, MEDIUM, "MEDIUM", "clear", False, False),
]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_every_row_of_the_table(row: tuple[object, ...]) -> None:
    _, policy, probability, low, high, demanded, *expected = row
    assert isinstance(policy, Policy)
    interval = (np.array([low], dtype=np.float64), np.array([high], dtype=np.float64))
    found = decide(policy, np.array([probability]), interval, np.array([demanded]))
    assert [RISKS[found.risk[0]], DECISIONS[found.decision[0]], found.review[0], found.certified[0]] == expected


def test_each_row_of_a_batch_may_have_a_policy_and_an_interval_of_its_own() -> None:
    policies = [POLICY, QUIET, OPEN, CHECKED, STRICT, EAGER, BLIND, BOLD]
    rows = [(number, *row[2:6]) for number in range(len(policies)) for row in TABLE]
    rows += [(number, one, np.nan, np.nan, least) for number, one, _, _, least in rows]
    order = np.random.default_rng(5).permutation(len(rows))
    which, probability, low, high, demanded = np.array(rows, dtype=np.float64)[order].T
    found = decide(Policies.of(policies, which), probability, (low, high), demanded)
    for row, number in enumerate(which.astype(int)):
        one = slice(row, row + 1)
        interval = None if np.isnan(low[row]) else (low[one], high[one])
        alone = decide(policies[number], probability[one], interval, demanded[one])
        assert [getattr(found, name)[row] for name in ("risk", "decision", "review", "certified")] == [
            getattr(alone, name)[0] for name in ("risk", "decision", "review", "certified")
        ]


@pytest.mark.parametrize(
    ("probability", "demanded", "risk", "decision"),
    [
        (0.99, LOW, CRITICAL, ALERT),
        (0.3, LOW, HIGH, ALERT),
        (0.29, LOW, MEDIUM, CLEAR),
        (0.0, LOW, LOW, CLEAR),
        (0.0, CRITICAL, CRITICAL, ALERT),
    ],
)
def test_without_an_interval_the_risk_alone_decides(
    probability: float, demanded: int, risk: int, decision: int
) -> None:
    found = decide(POLICY, np.array([probability]), None, np.array([demanded]))
    assert (found.risk[0], found.decision[0]) == (risk, decision)
    assert not found.review[0]
    assert not found.certified[0]


UNIT = st.floats(0, 1)


@given(
    rows=st.lists(st.tuples(UNIT, UNIT, UNIT, st.integers(LOW, CRITICAL)), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
def test_decisions_hold_their_promises_and_do_not_depend_on_the_batch(
    rows: list[tuple[float, float, float, int]], cut: int
) -> None:
    one, other, share, demanded = (np.array(each) for each in zip(*rows, strict=True))
    low, high = np.minimum(one, other), np.maximum(one, other)
    probability = np.clip(low + share * (high - low), low, high)
    found = decide(POLICY, probability, (low, high), demanded)
    assert (found.risk >= demanded).all()
    assert (found.risk >= POLICY.cuts.risk(probability)).all()
    ticket, alert = found.decision == TICKET, found.decision == ALERT
    assert (low[ticket] >= POLICY.act).all()
    assert ((high - low)[ticket] < POLICY.narrow).all()
    assert (found.risk[alert] >= HIGH).all()
    assert (found.risk[found.decision == CLEAR] < HIGH).all()
    assert not found.review[~(found.decision == CLEAR)].any()
    assert not (decide(QUIET, probability, (low, high), demanded).decision == TICKET).any()
    parts = [
        decide(POLICY, probability[part], (low[part], high[part]), demanded[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    for name in ("risk", "decision", "review", "certified"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(found, name).tolist()


@given(seed=st.integers(0, 1000), rows=st.integers(1, 3000), decimals=st.integers(1, 9))
def test_cuts_let_through_no_more_than_they_say(seed: int, rows: int, decimals: int) -> None:
    values = np.round(np.random.default_rng(seed).random(rows) ** 4, decimals)
    cuts = Cuts.of(values)
    for level, share, cut in ((MEDIUM, 0.1, cuts.medium), (HIGH, 0.035, cuts.high), (CRITICAL, 0.007, cuts.critical)):
        assert (cuts.risk(values) >= level).sum() <= share * rows
        # It is the least such cut: the next lower value would let too many through.
        assert (values >= values[values < cut].max()).sum() > share * rows


@pytest.mark.parametrize(
    ("rows", "medium", "high", "critical"), [(9, 0, 0, 0), (100, 10, 3, 0), (143, 14, 5, 1), (10_000, 1000, 350, 70)]
)
def test_so_many_reach_each_cut(rows: int, medium: int, high: int, critical: int) -> None:
    values = np.linspace(0.001, 0.9, rows)
    risk = Cuts.of(values).risk(values)
    assert [int((risk >= level).sum()) for level in (MEDIUM, HIGH, CRITICAL)] == [medium, high, critical]


def test_cuts_of_scores_that_are_all_the_same_are_never_reached() -> None:
    cuts = Cuts.of(np.full(500, 0.25))
    assert cuts.risk([0.25, 0.3]).tolist() == [LOW, CRITICAL]
    assert Cuts.of(np.ones(500)).risk([1.0]).tolist() == [LOW]


def test_what_is_no_probability_is_looked_at() -> None:
    for rows in ([np.nan], [np.nan, 0.0]):
        assert POLICY.cuts.risk(rows)[0] == CRITICAL
        found = decide(POLICY, rows)
        assert (found.risk[0], found.decision[0]) == (CRITICAL, ALERT)
