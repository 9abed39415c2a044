"""Verdicts from systems upstream: the alert agent takes them as it takes a person's, through the offline driver."""

from typing import Any

from models.alerts import alert_id
from schemas import topics
from schemas.topics import Topic
from streams.alerts import ALERTS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, merge, run
from tests.streams.noc import MINUTE, NOON, candidate

ID = alert_id("acme|metric_anomaly|web-1|cpu_percent|up", "e-0")


def outcome(at: float, verdict: str = "false_positive", **other: Any) -> dict[str, Any]:
    """A verdict `at` minutes after noon."""
    return {
        "tenant_id": "acme",
        "outcome_id": f"o-{at}-{verdict}",
        "alert_id": ID,
        "verdict": verdict,
        "by": "tickets",
        "decided_at": NOON + round(at * MINUTE),
    } | other


def records(topic: Topic, said: list[dict[str, Any]]) -> list[InputRecord]:
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each[topic.time], offset)
        for offset, each in enumerate(said)
    ]


def judged(*outcomes: dict[str, Any]) -> Outcome:
    """What comes of verdicts on an alert that opened at noon."""
    return run(
        ALERTS,
        merge(
            {
                "alerts.candidates": records(topics.ALERTS_CANDIDATES, [candidate(0)]),
                "outcomes.alerts": records(topics.OUTCOMES_ALERTS, list(outcomes)),
            }
        ),
    )


def said(found: Outcome, topic: str) -> list[dict[str, Any]]:
    return [topics.CATALOGUE[topic].codec.decode(value) for _, value in found.topic(topic) if value is not None]


def labels(found: Outcome) -> list[tuple[str, int, str]]:
    return [(each["verdict"], each["label_version"], each["by"]) for each in said(found, "labelled.anomaly")]


def test_a_verdict_becomes_a_label_and_a_version_of_the_alert() -> None:
    found = judged(outcome(5))
    (label,) = said(found, "labelled.anomaly")
    assert (label["alert_id"], label["verdict"], label["by"], label["decided_at"]) == (
        ID, "false_positive", "tickets", NOON + 5 * MINUTE,
    )  # fmt: skip
    version = said(found, "alerts")[-1]
    assert (version["reason"], version["verdict"], version["by"], version["state"]) == (
        "verdict", "false_positive", "tickets", "open",
    )  # fmt: skip
    assert said(found, "alerts.answers") == []
    assert said(found, "dead-letters") == []


def test_the_newest_decision_holds_whatever_comes_last() -> None:
    found = judged(outcome(5), outcome(9, "true_positive"))
    assert labels(found) == [("false_positive", 1, "tickets"), ("true_positive", 2, "tickets")]
    late = judged(outcome(9, "true_positive"), outcome(5))
    assert labels(late) == [("true_positive", 1, "tickets")]
    assert said(late, "dead-letters") == []


def test_a_repeat_changes_nothing() -> None:
    assert labels(judged(outcome(5), outcome(5))) == [("false_positive", 1, "tickets")]
    without = outcome(5, outcome_id=None)
    assert labels(judged(without, without)) == [("false_positive", 1, "tickets")]
    assert labels(judged(outcome(5), outcome(5, outcome_id="another"))) == [("false_positive", 1, "tickets")]


def test_a_verdict_days_later_is_taken() -> None:
    late = judged(outcome(0.5), outcome(13 * 1440, "true_positive"))
    assert labels(late) == [("false_positive", 1, "tickets"), ("true_positive", 2, "tickets")]
    assert said(late, "alerts")[-1]["verdict"] == "true_positive"
    resolved = run(
        ALERTS,
        merge(
            {
                "alerts.candidates": records(
                    topics.ALERTS_CANDIDATES, [candidate(0), candidate(6, "clear", samples=0)]
                ),
                "outcomes.alerts": records(topics.OUTCOMES_ALERTS, [outcome(13 * 1440), outcome(14 * 1440 + 1)]),
            }
        ),
    )
    assert labels(resolved) == [("false_positive", 1, "tickets")]
    before, judgement = said(resolved, "alerts")[-2:]
    at = NOON + 13 * 1440 * MINUTE
    assert judgement == before | {
        "seq": 3, "reason": "verdict", "by": "tickets", "verdict": "false_positive", "label_version": 1,
        "updated_at": at, "verdict_at": at,
    }  # fmt: skip
    (letter,) = said(resolved, "dead-letters")
    assert letter["message"] == (
        f"no alert {ID} is known; verdicts are taken for 14 days after an alert opened, and of the older alerts on the "
        "newest 1,000"
    )


def test_what_cannot_be_taken_is_a_dead_letter_that_says_why() -> None:
    found = judged(
        outcome(5, alert_id="no-such"), outcome(6, "maybe"), outcome(7, by=""), outcome(8, tenant_id="globex")
    )
    assert [(each["error_class"], each["message"].split(";")[0]) for each in said(found, "dead-letters")] == [
        ("OutcomeRefused", "no alert no-such is known"),
        ("OutcomeRefused", "verdict must be one of true_positive, false_positive, not 'maybe'"),
        ("OutcomeRefused", "to verdict something needs by"),
        ("OutcomeRefused", f"no alert {ID} is known"),
    ]
    assert labels(found) == []
