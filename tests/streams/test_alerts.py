"""The alert agent, through the offline driver: candidates in, versions of alerts out."""

from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import alerts
from schemas import topics
from streams.alert_state import PAST_MS, RETAIN_MS
from streams.alerts import ALERTS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, merge, run
from tests.streams.noc import MINUTE, NOON, candidate, command

DAY = 24 * 60 * MINUTE


def records(candidates: Iterable[dict[str, Any]]) -> list[InputRecord]:
    topic = topics.ALERTS_CANDIDATES
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["event_time"], offset)
        for offset, each in enumerate(candidates)
    ]


def versions(outcome: Outcome) -> list[dict[str, Any]]:
    return [topics.ALERTS.codec.decode(value) for _, value in outcome.topic("alerts") if value is not None]


def told(candidates: Sequence[dict[str, Any]], restarts: bool = False) -> list[dict[str, Any] | None]:
    """What the agent says to each candidate; at most one version each. `restarts` lets it start again before each."""
    outcome, said = Outcome(), []
    for record in records(candidates):
        before = len(outcome.topic("alerts"))
        if restarts:
            outcome.store.live.clear()
        outcome = run(ALERTS, [record], start=outcome)
        new = versions(outcome)[before:]
        assert len(new) <= 1
        said.append(new[0] if new else None)
    return said


# (candidate), (reason, state, seq, severity, count, held_back, links) or None for silence
LIVES = {
    "opens, repeats, resolves": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(0.5), None),
        (candidate(1, samples=3), ("more", "open", 2, "WARNING", 5, 0, False)),
        (candidate(6, "clear", samples=2), ("resolved", "resolved", 3, "WARNING", 7, 0, False)),
    ],
    "severity rises at once and never falls": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(0.1, severity="CRITICAL"), ("severity", "open", 2, "CRITICAL", 2, 0, False)),
        (candidate(0.2, severity="HIGH"), None),
        (candidate(2, severity="INFO"), ("more", "open", 3, "CRITICAL", 4, 0, False)),
    ],
    "held back within the quiet time, opens at its end with a link": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(6, "clear", samples=0), ("resolved", "resolved", 2, "WARNING", 1, 0, False)),
        (candidate(50), ("held_back", "resolved", 3, "WARNING", 1, 1, False)),
        (candidate(51), None),
        (candidate(59), None),
        (candidate(60), ("reopened", "open", 1, "WARNING", 1, 0, True)),
        (candidate(61), ("more", "open", 2, "WARNING", 2, 0, True)),
    ],
    "two openings held back are counted": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(6, "clear", samples=0), ("resolved", "resolved", 2, "WARNING", 1, 0, False)),
        (candidate(10), ("held_back", "resolved", 3, "WARNING", 1, 1, False)),
        (candidate(20, "clear", samples=0), None),
        (candidate(30), ("held_back", "resolved", 4, "WARNING", 1, 2, False)),
        (candidate(40, "clear", samples=0), None),
        (candidate(80), ("reopened", "open", 1, "WARNING", 1, 0, True)),
    ],
    "a worse severity breaks the quiet time, the same does not": [
        (candidate(0, severity="HIGH"), ("opened", "open", 1, "HIGH", 1, 0, False)),
        (candidate(6, "clear", samples=0), ("resolved", "resolved", 2, "HIGH", 1, 0, False)),
        (candidate(10, severity="HIGH"), ("held_back", "resolved", 3, "HIGH", 1, 1, False)),
        (candidate(11, severity="CRITICAL"), ("reopened", "open", 1, "CRITICAL", 1, 0, True)),
        (candidate(17, "clear", samples=0), ("resolved", "resolved", 2, "CRITICAL", 1, 0, True)),
        # the quiet time is that of the newer alert
        (candidate(65, severity="CRITICAL"), ("held_back", "resolved", 3, "CRITICAL", 1, 1, True)),
        (candidate(71, severity="WARNING"), ("reopened", "open", 1, "WARNING", 1, 0, True)),
    ],
    "open for longer than the quiet time: the next one opens at once and links nothing": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(90), ("more", "open", 2, "WARNING", 2, 0, False)),
        (candidate(96, "clear", samples=0), ("resolved", "resolved", 3, "WARNING", 2, 0, False)),
        (candidate(100), ("opened", "open", 1, "WARNING", 1, 0, False)),
    ],
    "a clear alone, and a second clear, say nothing": [
        (candidate(0, "clear", samples=0), None),
        (candidate(1), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(7, "clear", samples=0), ("resolved", "resolved", 2, "WARNING", 1, 0, False)),
        (candidate(8, "clear", samples=0), None),
    ],
    "out of order: a clear from before the last firing is no clear": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(9), ("more", "open", 2, "WARNING", 2, 0, False)),
        (candidate(8, "clear", samples=0), None),
        (candidate(10), ("more", "open", 3, "WARNING", 3, 0, False)),
    ],
    "out of order: late firing counts, and opens nothing once it is resolved": [
        (candidate(0), ("opened", "open", 1, "WARNING", 1, 0, False)),
        (candidate(-5, severity="HIGH"), ("severity", "open", 2, "HIGH", 2, 0, False)),
        (candidate(6, "clear", samples=0), ("resolved", "resolved", 3, "HIGH", 2, 0, False)),
        (candidate(5, severity="CRITICAL"), None),
        (candidate(70), ("opened", "open", 1, "WARNING", 1, 0, False)),
    ],
}


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted before each"])
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
def test_life(life: list[tuple[dict[str, Any], tuple[Any, ...] | None]], restarts: bool) -> None:
    said = told([each for each, _ in life], restarts)
    found = [
        version
        and (
            version["reason"],
            version["state"],
            version["seq"],
            version["severity"],
            version["count"],
            version["held_back"],
            version["previous_alert_id"] is not None,
        )
        for version in said
    ]
    assert found == [expected for _, expected in life]


def test_opening_says_everything() -> None:
    (version,) = told([candidate(0, severity="HIGH")])
    assert version == {
        "tenant_id": "acme",
        "alert_id": alerts.alert_id("acme|metric_anomaly|web-1|cpu_percent|up", "e-0"),
        "seq": 1,
        "fingerprint": "acme|metric_anomaly|web-1|cpu_percent|up",
        "kind": "metric_anomaly",
        "subject": "web-1",
        "metric": "cpu_percent",
        "direction": "up",
        "state": "open",
        "severity": "HIGH",
        "opened_at": NOON,
        "updated_at": NOON,
        "resolved_at": None,
        "count": 1,
        "held_back": 0,
        "event_id": "e-0",
        "previous_alert_id": None,
        "score": 0.6,
        "value": 97.0,
        "expected": 20.0,
        "limit": None,
        "summary": "cpu_percent 97 % on web-1",
        "evidence": {"usual_low": 12.0, "usual_high": 35.0},
        "by": "system",
        "reason": "opened",
        "runbook": "docs/alerts.md#metric_anomaly",
        "note": None,
        "assignee": None,
        "escalation": 0,
        "snoozed_until": None,
        "muted": None,
        "flapping": False,
        "links": ["host:web-1"],
        "incident_id": None,
        "verdict": None,
        "verdict_at": None,
        "label_version": 0,
    }


def test_identity_holds_over_versions_and_the_link_names_the_old_alert() -> None:
    said = told([each for each, _ in LIVES["held back within the quiet time, opens at its end with a link"]])
    old = {version["alert_id"] for version in said[:3] if version}
    new = {version["alert_id"] for version in said[5:] if version}
    assert len(old) == len(new) == 1
    assert old != new
    assert {version["previous_alert_id"] for version in said[5:] if version} == old
    assert {version["opened_at"] for version in said[:3] if version} == {NOON}
    assert said[1]["resolved_at"] == said[1]["updated_at"] == NOON + 6 * MINUTE  # type: ignore[index]


def test_the_strongest_evidence_is_kept() -> None:
    said = told(
        [
            candidate(0, score=0.6, summary="first"),
            candidate(1, score=0.9, summary="strongest", value=99.0),
            candidate(2, score=0.7, summary="weaker", value=80.0),
        ]
    )
    assert [(version["score"], version["summary"], version["value"]) for version in said if version] == [
        (0.6, "first", 97.0),
        (0.9, "strongest", 99.0),
        (0.9, "strongest", 99.0),
    ]


WRONG = {
    "kind": ({"kind": "metric_mood"}, "kind must be one of"),
    "phase": ({"phase": "smouldering"}, "phase must be one of firing, clear, held_back, not 'smouldering'"),
    "severity": ({"severity": "FATAL"}, "severity of metric_anomaly must be one of"),
    "direction": ({"direction": "sideways"}, "direction must be one of"),
    "fingerprint": ({"subject": "db-1"}, "the candidate's own fields make 'acme|metric_anomaly|db-1|"),
    "foreign tenant": ({"fingerprint": "other|metric_anomaly|web-1|cpu_percent|up"}, "own fields make 'acme|"),
    "samples": ({"samples": 0}, "samples must be at least 1 for firing"),
    "score": ({"score": float("nan")}, "score must be a finite number"),
    "summary": ({"summary": "x" * 1000}, "characters of summary"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_candidate_is_refused_and_the_rest_goes_on(change: dict[str, Any], message: str) -> None:
    outcome = run(ALERTS, records([candidate(0), candidate(1) | change, candidate(2)]))
    (letter,) = [topics.DEAD_LETTERS.codec.decode(value) for _, value in outcome.topic("dead-letters") if value]
    assert letter["error_class"] == "InvalidCandidate"
    assert message in letter["message"]
    assert letter["tenant_id"] == "acme"
    assert [version["seq"] for version in versions(outcome)] == [1, 2]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Candidates of two tenants and three metrics over some hours, mostly in order, with rises and clears."""
    at, made = 0.0, []
    for number in range(draw(st.integers(1, 60))):
        at += draw(st.sampled_from([0.1, 0.5, 1, 5, 30, 61, 1500]))
        late = draw(st.sampled_from([0, 0, 0, 3]))
        phase = draw(st.sampled_from(["firing", "firing", "clear"]))
        made.append(
            candidate(
                at - late,
                phase,
                draw(st.sampled_from(alerts.SEVERITIES)),
                draw(st.integers(1, 50)),
                tenant=draw(st.sampled_from(["acme", "umbrella"])),
                metric=draw(st.sampled_from(["cpu_percent", "queue_depth", "custom"])),
                score=draw(st.floats(0.5, 1)),
                event_id=f"e-{number}",
            )
        )
    return made


def of_tenant(tenant: str, outcome: Outcome) -> list[dict[str, Any]]:
    return [version for version in versions(outcome) if version["tenant_id"] == tenant]


@settings(max_examples=60)
@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_any_cut_gives_the_same_bytes(history: list[dict[str, Any]], cuts: list[int]) -> None:
    source = records(history)
    whole = run(ALERTS, source)
    sizes = cycle(cuts)
    pieces = run(ALERTS, source, cuts=lambda: next(sizes))
    assert pieces.outputs == whole.outputs
    assert pieces.state == whole.state


ASKED: list[dict[str, Any]] = [
    *({"action": action} for action in ("acknowledge", "resolve")),
    {"action": "comment", "text": "looking"},
    {"action": "assign", "assignee": "omar"},
    {"action": "snooze", "until": 20},
    {"action": "verdict", "verdict": "false_positive"},
    {"action": "silence", "until": 40, "text": "patching", "subject": "web-1"},
    {"action": "dance"},
]


@st.composite
def busy_histories(draw: st.DrawFn) -> list[InputRecord]:
    """Candidates and commands, as a worker merges them."""
    heard = draw(histories())
    said = []
    for number in range(draw(st.integers(1, 20))):
        at = (draw(st.sampled_from(heard))["event_time"] - NOON) / MINUTE + draw(st.sampled_from([0, 0.2, 3]))
        asked = dict(draw(st.sampled_from(ASKED)))
        until = asked.pop("until", None)
        metric = draw(st.sampled_from(["cpu_percent", "queue_depth"]))
        said.append(
            command(
                at,
                until=until and at + until,
                fingerprint=f"acme|metric_anomaly|web-1|{metric}|up",
                **asked | {"command_id": f"c-{number}"},
            )
        )
    said.sort(key=lambda each: each["at"])
    topic = topics.COMMANDS_ALERTS
    commands = [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each["at"], offset)
        for offset, each in enumerate(said)
    ]
    return list(merge({topics.ALERTS_CANDIDATES.name: records(heard), topic.name: commands}))


@settings(max_examples=25)
@given(busy_histories(), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_any_cut_and_any_restart_with_commands(source: list[InputRecord], cuts: list[int]) -> None:
    whole = run(ALERTS, source)
    assert len(whole.topic("alerts.answers")) == sum(record.topic == "commands.alerts" for record in source)
    assert not whole.topic("dead-letters")
    outcome, sizes = Outcome(), cycle(cuts)
    rest = iter(source)
    while piece := list(islice(rest, next(sizes))):
        outcome = run(ALERTS, piece, start=outcome)
        outcome.store.live.clear()
    assert outcome.outputs == whole.outputs
    assert outcome.state == whole.state


@settings(max_examples=60)
@given(histories(), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_started_again_and_again(history: list[dict[str, Any]], cuts: list[int]) -> None:
    source = records(history)
    whole = run(ALERTS, source)
    outcome, sizes = Outcome(), cycle(cuts)
    rest = iter(source)
    while piece := list(islice(rest, next(sizes))):
        outcome = run(ALERTS, piece, start=outcome)
        outcome.store.live.clear()  # as after a restart: only what was stored is left
    assert outcome.outputs == whole.outputs
    assert outcome.state == whole.state


def test_the_clock_survives_a_restart() -> None:
    source = records([candidate(100), candidate(50, metric="queue_depth")])
    whole = run(ALERTS, source)
    outcome = run(ALERTS, source[:1])
    outcome.store.live.clear()
    assert run(ALERTS, source[1:], start=outcome).state == whole.state


@settings(max_examples=40)
@given(histories())
def test_tenants_do_not_meet(history: list[dict[str, Any]]) -> None:
    """Time apart: it passes for all, so the others' records are replaced by ones that say nothing else."""

    def nothing(of: dict[str, Any]) -> dict[str, Any]:
        parts = (of["kind"], of["subject"], of["metric"], of["direction"])
        return of | {
            "tenant_id": "nobody", "phase": "clear", "samples": 0, "fingerprint": alerts.fingerprint("nobody", *parts),
        }  # fmt: skip

    together = run(ALERTS, records(history))
    for tenant in ("acme", "umbrella"):
        alone = run(ALERTS, records([each if each["tenant_id"] == tenant else nothing(each) for each in history]))
        assert of_tenant(tenant, together) == versions(alone)


@settings(max_examples=60)
@given(histories())
def test_laws(history: list[dict[str, Any]]) -> None:
    """What holds for every history: versions without holes, lawful moves, severity, one open alert, quiet time."""
    said = versions(run(ALERTS, records(history)))
    latest: dict[str, dict[str, Any]] = {}
    newest: dict[str, dict[str, Any]] = {}
    for version in said:
        before = latest.get(version["alert_id"])
        assert version["seq"] == (before["seq"] + 1 if before else 1)
        if before is None:
            assert version["state"] == "open"
            old = newest.get(version["fingerprint"])
            if old is not None:
                assert old["state"] == "resolved"
                worse = alerts.RANK[version["severity"]] > alerts.RANK[old["severity"]]
                assert worse or version["opened_at"] >= old["opened_at"] + alerts.HOUR_MS
                assert version["previous_alert_id"] in (None, old["alert_id"])
            newest[version["fingerprint"]] = version
        else:
            assert (before["state"], version["state"]) in {
                ("open", "open"),
                ("open", "resolved"),
                ("resolved", "resolved"),
            }
            assert alerts.RANK[version["severity"]] >= alerts.RANK[before["severity"]]
            assert version["updated_at"] >= before["updated_at"]
            assert version["count"] >= before["count"]
            newest[version["fingerprint"]] = version
        latest[version["alert_id"]] = version


def test_a_year_leaves_only_what_may_be_judged() -> None:
    """A short alert each half day on a host of its own: the state does not grow with time."""
    history = []
    for half in range(730):
        at = half * 12 * 60
        history += [
            candidate(at, subject=f"host-{half}"),
            candidate(at + 6, "clear", samples=0, subject=f"host-{half}"),
        ]
    outcome = run(ALERTS, records(history))
    assert len(versions(outcome)) == 2 * 730
    entries = [key for key in outcome.state if b"\xff" in key]
    assert len(entries) <= 2 * (PAST_MS + RETAIN_MS) // DAY + 3


def test_an_open_alert_is_never_forgotten() -> None:
    said = told([candidate(0), candidate(40 * 24 * 60, subject="web-2"), candidate(80 * 24 * 60)])
    assert said[2] is not None
    assert (said[2]["reason"], said[2]["alert_id"]) == ("more", said[0]["alert_id"])  # type: ignore[index]


def test_entries_are_small() -> None:
    long = candidate(0, subject="h" * 200, metric="m" * 64, summary="s" * 300, event_id="e" * 36)
    long["fingerprint"] = f"acme|metric_anomaly|{'h' * 200}|{'m' * 64}|up"
    typical = run(ALERTS, records([candidate(0)]))
    worst = run(ALERTS, records([long]))
    assert max(map(len, typical.state.values())) < 400
    assert max(map(len, worst.state.values())) < 1000


def test_a_version_is_not_changed_by_the_next() -> None:
    """The record that was told and the state must not share what changes."""
    outcome = run(ALERTS, records([candidate(0), candidate(1), candidate(2)]))
    assert [version["count"] for version in versions(outcome)] == [1, 2, 3]
