"""What settings let a tenant's model of fraud do: certificates, tickets and cuts of its own."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.decisions import Cuts, Policy
from models.fraud.artifact import CALIBRATION, NAME, FraudModel
from models.fraud.audit import chances
from models.fraud.features import PLACE
from models.fraud.policy import certificate as certificate_text
from models.registry import Place
from models.registry.activation import Post, value_of
from schemas import topics
from streams.fraud_scoring import policy_of
from streams.runtime.control import EVERYONE
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from streams.serving import Serving
from streams.tickets import TICKETS
from tests.streams.control import answers, command, judged
from tests.streams.test_attendance import features, said
from tests.streams.test_fraud_serving import (
    OWN,
    SHARED,
    UNFIT,
    VERSION,
    Site,
    control,
    predictions,
    recalibrated,
    scored,
)
from tests.streams.test_fraud_serving import site as site

SINCE = 0.85
SHARE = 0.25
WHO = ("tenant_id", "event_id")


def setting(site: Site, number: int, name: str, value: object, tenant: str | None = None) -> dict[str, Any]:
    """In force from before the first event."""
    early = site.world.events[0]["occurred_at"] - topics.DAY_MS
    at = None if name == "stop_automatic" else early
    who = tenant or site.large
    return command(number, json.dumps(value), name=name, tenant_id=who, valid_from=at, requested_at=early)


def serving(site: Site) -> list[dict[str, Any]]:
    """The large tenant is served by its own model from the beginning, the other one by the heuristic."""
    return [setting(site, 0, Post(NAME).setting, value_of(Place(NAME, site.large), VERSION))]


def certificate(site: Site) -> str:
    return f"{value_of(Place(NAME, site.large), VERSION)}@{SINCE}"


def made(site: Site, *more: dict[str, Any], **options: Any) -> Outcome:
    return scored(site, control(site, *serving(site), *more), **options)


@pytest.fixture(scope="module")
def plain(site: Site) -> Outcome:
    return made(site)


def wanted(site: Site) -> list[dict[str, Any]]:
    """The model is certified, the tenant wants tickets, and an audit of much of the rest."""
    return [
        setting(site, 1, "fraud_certificate", certificate(site)),
        setting(site, 2, "auto_ticket", True),
        setting(site, 4, "fraud_audit", SHARE),
    ]


@pytest.fixture(scope="module")
def automatic(site: Site) -> Outcome:
    return made(site, *wanted(site))


def other(site: Site, outcome: Outcome) -> list[dict[str, Any]]:
    """Predictions of the other tenant, but for how far control had come."""
    return [{**each, "control_offset": 0} for each in predictions(outcome) if each["tenant_id"] != site.large]


def test_tickets_are_what_is_high_narrow_and_certified(site: Site, plain: Outcome, automatic: Outcome) -> None:
    before = {tuple(each[name] for name in WHO): each for each in predictions(plain)}
    seen: Counter[str] = Counter()
    for each in predictions(automatic):
        was = before[each["tenant_id"], each["event_id"]]
        assert not was["certified"]
        low, width = each["interval_low"], each["interval_width"]
        sure = each["tenant_id"] == site.large and low >= SINCE
        assert each["certified"] == sure
        assert each["decision"] == ("ticket" if sure and width < 0.2 else was["decision"])
        assert each["contributions"] is not None or each["decision"] != "ticket"
        seen[each["decision"]] += 1
    assert seen["ticket"] > 5
    assert seen["alert"] > 0
    assert other(site, automatic) == other(site, plain)


def test_tenants_of_the_same_model_have_settings_of_their_own(site: Site) -> None:
    shared = Place(NAME, EVERYONE)
    everyone = [setting(site, 0, Post(NAME).setting, value_of(shared, SHARED), EVERYONE)]
    own = [
        setting(site, 1, "fraud_certificate", f"{value_of(shared, SHARED)}@{SINCE}"),
        setting(site, 2, "auto_ticket", True, EVERYONE),
        setting(site, 3, "fraud_cuts", "0.02/0.1/0.5"),
    ]
    before, after = (scored(site, control(site, *everyone, *more)) for more in ([], own))
    assert {each["model_version"] for each in predictions(after)} == {SHARED}
    assert "ticket" in {each["decision"] for each in predictions(after)}
    assert other(site, after) == other(site, before)


def policy(site: Site, *more: dict[str, Any], tenant: str | None = None) -> Policy:
    served = Serving(site.model, VERSION, Place(NAME, site.large))
    return policy_of(control(site, *more), served, tenant or site.large, site.half)


def test_tickets_need_a_certificate_and_the_flag_and_no_stop(site: Site) -> None:
    proof = setting(site, 1, "fraud_certificate", certificate(site))
    wanted = setting(site, 2, "auto_ticket", True)
    stop = setting(site, 3, "stop_automatic", True, EVERYONE)
    found = [policy(site, *more) for more in ((), (wanted,), (proof,), (proof, wanted), (proof, wanted, stop))]
    assert [(each.certified, each.auto_ticket) for each in found] == [
        (None, False),
        (None, False),
        (SINCE, False),
        (SINCE, True),
        (SINCE, False),
    ]
    assert {each.cuts for each in found} == {site.model.scorer.cuts}
    assert policy(site, proof, wanted, tenant="elsewhere") == policy(site)


@pytest.mark.parametrize("text", ["{tenant}/@all/v20260401_060001@0.8", f"elsewhere/@all/{VERSION}@0.8", "none"])
def test_a_certificate_is_of_one_version_alone(site: Site, text: str) -> None:
    wanted = setting(site, 2, "auto_ticket", True)
    found = policy(site, setting(site, 1, "fraud_certificate", text.format(tenant=site.large)), wanted)
    assert found == policy(site)


def calibration(site: Site, number: int, version: str) -> dict[str, Any]:
    return setting(site, number, Post(CALIBRATION).setting, value_of(Place(CALIBRATION, site.large), version))


def test_a_tenant_is_scored_with_its_own_calibration_where_that_fits(site: Site, plain: Outcome) -> None:
    found = predictions(made(site, calibration(site, 1, OWN)))
    own = FraudModel(replace(site.model.scorer, calibration=recalibrated()), site.model.feature_set)
    for each, was in zip(found, predictions(plain), strict=True):
        if each["tenant_id"] != site.large:
            assert {**each, "control_offset": 0} == {**was, "control_offset": 0}
            continue
        assert (each["model_version"], each["calibration_version"]) == (VERSION, OWN)
        scored_ = own.score(np.array([features(each)]))
        assert scored_.interval is not None
        assert each["probability"] == scored_.probability[0] != was["probability"]
        assert (each["interval_low"], each["interval_high"]) == (scored_.interval[0][0], scored_.interval[1][0])
        assert each["detail"]["cut_high"] == own.scorer.cuts.high
    # What was made for another version leaves the one that the model was trained with, and so does a refused one.
    unfit = predictions(made(site, calibration(site, 1, UNFIT)))
    assert [{**each, "control_offset": 0} for each in unfit] == [
        {**each, "control_offset": 0} for each in predictions(plain)
    ]
    missing = predictions(made(site, calibration(site, 1, "v20260401_100000")))
    assert {each["calibration_version"] for each in missing if each["tenant_id"] == site.large} == {VERSION}
    assert any("v20260401_100000" in (each["fallback_reason"] or "") for each in missing)


def test_a_certificate_is_of_one_calibration_alone(site: Site) -> None:
    served = Serving(site.model, VERSION, Place(NAME, site.large))._replace(calibration=OWN)
    plain_, with_own = (
        setting(site, 1, "fraud_certificate", certificate_text(Place(NAME, site.large), VERSION, own, SINCE))
        for own in ("", OWN)
    )
    assert policy_of(control(site, with_own), served, site.large, site.half).certified == SINCE
    assert policy_of(control(site, plain_), served, site.large, site.half).certified is None
    assert policy(site, with_own).certified is None


def test_no_certificate_is_of_all_tenants(site: Site) -> None:
    asked = setting(site, 1, "fraud_certificate", certificate(site), EVERYONE)
    assert [each["outcome"] for each in answers(judged([asked]))] == ["refused"]


def test_a_tenant_may_have_cuts_of_its_own(site: Site, plain: Outcome) -> None:
    own = Cuts(0.02, 0.1, 0.5)
    outcome = made(site, setting(site, 1, "fraud_cuts", "0.02/0.1/0.5"))
    found = [each for each in predictions(outcome) if each["tenant_id"] == site.large]
    assert {tuple(each["detail"].values())[:3] for each in found} == {(0.02, 0.1, 0.5)}
    ruled = [2 * (each["advice"] is not None) for each in found]
    codes = np.maximum(own.risk([each["probability"] for each in found]), ruled)
    assert [each["risk_level"] for each in found] == [("LOW", "MEDIUM", "HIGH", "CRITICAL")[code] for code in codes]
    assert other(site, outcome) == other(site, plain)
    # The heuristic, which serves the other tenant, is on another scale and keeps its own.
    everyone = made(site, setting(site, 1, "fraud_cuts", "0.02/0.1/0.5", EVERYONE))
    assert other(site, everyone) == other(site, plain)
    assert [each["risk_level"] for each in predictions(everyone)] == [
        each["risk_level"] for each in predictions(outcome)
    ]


def test_where_frames_are_cut_does_not_show(site: Site, automatic: Outcome) -> None:
    sizes = np.random.default_rng(3)
    outcome = made(site, *wanted(site), cuts=lambda: int(sizes.integers(1, 14)))
    assert outcome.outputs == automatic.outputs


def test_what_is_decided_a_ticket_is_told_the_ticket_agent_and_is_no_alert(site: Site, automatic: Outcome) -> None:
    made_of = {(each["tenant_id"], each["event_id"]): each for each in predictions(automatic)}
    asked = said(automatic, topics.TICKETS_CANDIDATES)
    told = [each for each in asked if each["purpose"] == "decision"]
    for decision, candidates in (("ticket", told), ("alert", said(automatic, topics.ALERTS_CANDIDATES))):
        wanted = {who for who, each in made_of.items() if each["decision"] == decision}
        assert {(each["tenant_id"], each["event_id"]) for each in candidates} == wanted
    for each in told:
        of = made_of[each["tenant_id"], each["event_id"]]
        same = ("subject", "event_time", "probability", "interval_low", "interval_high", "model_version")
        assert [each[name] for name in same] == [of[name] for name in same]
        assert each["severity"] == of["risk_level"]
    source = [
        InputRecord(key, value, asked[-1]["event_time"], offset, (), topics.TICKETS_CANDIDATES.name)
        for offset, (key, value) in enumerate(automatic.topic("tickets.candidates"))
    ]
    outcome = run(TICKETS, source)
    assert said(outcome, topics.DEAD_LETTERS) == []
    newest = {each["ticket_id"]: each for each in said(outcome, topics.TICKETS)}
    events = [event for each in newest.values() if each["purpose"] == "decision" for event in each["event_ids"]]
    assert sorted(events) == sorted(each["event_id"] for each in told)


def test_who_only_observes_gets_no_ticket(site: Site, automatic: Outcome) -> None:
    outcome = made(site, *wanted(site), setting(site, 3, "observe_only", True))
    assert {each["tenant_id"] for each in said(outcome, topics.TICKETS_CANDIDATES)} <= {"harbour"}
    decided = [each["decision"] for each in predictions(automatic)]
    assert [each["decision"] for each in predictions(outcome)] == decided


def test_the_audit_draws_from_what_is_cleared_and_logs_how_likely(site: Site, automatic: Outcome) -> None:
    told = [each for each in said(automatic, topics.TICKETS_CANDIDATES) if each["purpose"] == "audit"]
    drawings = {tuple(each[name] for name in WHO) for each in told}
    seen = Counter[bool]()
    for each in predictions(automatic):
        share = SHARE if each["tenant_id"] == site.large else 0.01
        cleared = each["decision"] == "clear"
        assert each["detail"].get("audit_propensity") == (share if cleared else None)
        wanted = cleared and bool(chances([each["prediction_id"]])[0] < share)
        assert ("audited" in each["detail"]) == wanted == (tuple(each[name] for name in WHO) in drawings)
        seen[wanted] += cleared and share == SHARE
    assert len(drawings) == len(told)
    # Four standard deviations to each side.
    rows = seen.total()
    assert abs(seen[True] - SHARE * rows) < 4 * (SHARE * (1 - SHARE) * rows) ** 0.5
    # Nothing that could sway who looks at it.
    assert all("drawn at random" in each["summary"] and "%" not in each["summary"] for each in told)
    of_rule = [each for each in told if each["tenant_id"] != site.large]
    assert {(each["interval_low"], each["interval_high"]) for each in of_rule} <= {(0.0, 1.0)}


@pytest.mark.parametrize(("name", "value"), [("observe_only", True), ("fraud_audit", 0.0), ("stop_automatic", True)])
def test_the_audit_can_be_stopped(site: Site, name: str, value: object) -> None:
    outcome = made(site, *wanted(site)[:2], setting(site, 5, name, value, EVERYONE))
    candidates = said(outcome, topics.TICKETS_CANDIDATES)
    assert [each for each in candidates if each["purpose"] == "audit"] == []
    assert not any("audit_propensity" in each["detail"] for each in predictions(outcome))


def test_impossible_travel_raises_a_decision_and_never_lowers_one(site: Site, automatic: Outcome) -> None:
    limit = 150.0
    before = {tuple(each[name] for name in WHO): each for each in predictions(automatic)}
    outcome = made(site, *wanted(site), setting(site, 6, "fraud_travel_limit", limit))
    alerts = {each["event_id"]: each["summary"] for each in said(outcome, topics.ALERTS_CANDIDATES)}
    risks, raised = ("LOW", "MEDIUM", "HIGH", "CRITICAL"), 0
    for each in predictions(outcome):
        was, row = before[each["tenant_id"], each["event_id"]], features(each)
        fast = row[PLACE["travel_speed_kmh"]] > limit and row[PLACE["gps_accuracy_m"]] <= 100.0
        if each["tenant_id"] != site.large or not fast:
            assert {**each, "control_offset": 0} == {**was, "control_offset": 0}
            continue
        assert each["decision"] == ("alert" if was["decision"] == "clear" else was["decision"])
        assert risks.index(each["risk_level"]) == max(2, risks.index(was["risk_level"]))
        assert each["probability"] == was["probability"]
        assert f"{row[PLACE['travel_speed_kmh']]:,.0f} km/h" in each["advice"]
        assert each["detail"]["travel_limit_kmh"] == limit
        if each["decision"] == "alert":
            assert each["advice"] in alerts[each["event_id"]]
        raised += was["decision"] == "clear"
    assert raised > 0
