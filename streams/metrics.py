"""The metrics agent: samples of hosts in; a prediction for each, and candidates for alerts, out.

What stands out, static limits and silence open alerts; the rest of the way is the alert agent's (streams.alerts).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Self

from models import alerts, metrics
from models.alerts import RANK
from models.anomaly import forest_artifact
from models.anomaly.severity import RISK, severity_of
from models.anomaly.static import StaticLimit
from models.control import CUTS, DEFAULTS, DETECTOR_FLAGS, STATE_LEVEL
from models.identity import prediction_id
from models.metrics import show, show_range
from models.registry.activation import Post
from schemas import topics
from streams import evidence, silence
from streams.evidence import Together
from streams.host_state import EXTRA_LIMIT, HostState, Watch
from streams.repeats import Seen
from streams.runs import Finding, Run
from streams.runtime import Agent, Control, Due, Frame, Spans
from streams.serving import NO_MODELS, Models, Serving, serving
from streams.tuned import NOWHERE, thresholds

MODEL, VERSION, SLOT = "anomaly", "detectors_v2", "champion"
"""VERSION stands for all detectors and for the rule by which they page; see docs/detectors.md."""

BREACH = 0.5
"""A static limit fires from this score on, whatever the threshold."""

FAR = 2.0
"""A value is far out beyond so many half-widths of the usual range: one in twenty calm values is beyond one."""

Event = Mapping[str, Any]
Findings = Mapping[str, Finding]
"""What fires on one metric, by kind of alert."""

_nine = itemgetter(*metrics.NAMES)


class Rules(NamedTuple):
    """What control says for a record.

    Attributes:
        threshold: the novelty detector fires from this score on, 0..1.
        observe_only: score and learn, open no alert.
        off: detectors that are switched off, by name.
        offset: of the newest command in force; -1 before the first.
        cuts: scores below which an anomaly is held back by the alert budget, by detector.
        tuned: instead of the threshold, by (detector, metric), where verdicts have raised it.
    """

    threshold: float
    observe_only: bool
    off: frozenset[str]
    offset: int
    cuts: Mapping[str, float]
    tuned: Mapping[tuple[str, str], float] = NOWHERE

    def fires(self, detector: str, metric: str) -> float:
        """The score from which a detector fires on a metric."""
        return self.tuned.get((detector, metric), self.threshold)

    @classmethod
    def of(cls, control: Control, tenant: str, time: int) -> Self:
        """Those that hold for a tenant at a record timestamp, epoch milliseconds."""
        return cls(
            control.get(topics.CONTROL_THRESHOLDS.name, tenant, "anomaly_threshold", time),
            control.get(topics.CONTROL_FLAGS.name, tenant, "observe_only", time),
            frozenset(
                name
                for name, flag in DETECTOR_FLAGS.items()
                if not control.get(topics.CONTROL_FLAGS.name, tenant, flag, time)
            ),
            control.offset,
            {name: control.get(topics.CONTROL_THRESHOLDS.name, tenant, cut, time) for name, cut in CUTS.items()},
        )

    def scoped(self, control: Control, event: Event, time: int) -> Self:
        """They with what holds in the scopes that a sample is in."""
        tuned = thresholds(control, event["tenant_id"], event["host"], event["occurred_at"], time, self.threshold)
        return self._replace(tuned=tuned) if tuned else self

    def holds(self, finding: Finding) -> bool:
        """Whether the alert budget has no room for what has been found; what is CRITICAL has its own."""
        return finding.severity != "CRITICAL" and finding.score < self.cuts.get(finding.detector, 0.0)

    def allow(self, candidates: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
        """The candidates that may go out: who only observes still ends what was open before."""
        return [each for each in candidates if each and not (self.observe_only and each["phase"] != "clear")]


SETTINGS = (
    (topics.CONTROL_THRESHOLDS.name, "anomaly_threshold"),
    (topics.CONTROL_FLAGS.name, "observe_only"),
    *((topics.CONTROL_FLAGS.name, flag) for flag in DETECTOR_FLAGS.values()),
    *((topics.CONTROL_THRESHOLDS.name, cut) for cut in CUTS.values()),
)
"""All that `Rules.of` looks at."""


def process(frame: Frame, models: Models = NO_MODELS) -> None:
    control = frame.control
    rules_of = Spans(control, SETTINGS, partial(Rules.of, control)).of
    predictions: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    for moment in frame.timeline():
        if isinstance(moment, Due):
            host = frame.state.live(moment.key, HostState)
            rules = rules_of(moment.key.decode().split("|", 1)[0], moment.deadline)
            candidates += rules.allow([silence.due(frame.timers, moment, host.newest)])
            continue
        record, event = moment.record, moment.value
        wrong = metrics.fault(event)
        if wrong is not None:
            frame.reject(record, "InvalidEvent", wrong)
            continue
        key = topics.EVENTS_METRICS.key_of(event)
        rules = rules_of(event["tenant_id"], record.timestamp).scoped(control, event, record.timestamp)
        host = frame.state.live(key, HostState)
        seen = host.memory.meet(event["event_id"], content(event))
        if seen is Seen.CONFLICT:
            frame.reject(record, "ConflictingEvent", f"event_id {event['event_id']!r} came before with other content")
        elif seen is Seen.REPEAT:
            host.repeats += 1
        elif event["occurred_at"] < host.newest:
            host.late += 1
            age = host.newest - event["occurred_at"]
            late = f"late: {age} ms older than the newest sample of its host"
            predictions.append(prediction(event, {}, [], late, rules))
        else:
            found = [silence.heard(frame.timers, key, event, host.newest, moment.clock)]
            host.newest = event["occurred_at"]
            together = Together(event, partial(forest, control, models, event, record.timestamp))
            predictions.append(score(host, event, found, rules, together))
            candidates += rules.allow(found)
    frame.send(topics.PREDICTIONS_ANOMALY, predictions)
    frame.send(topics.ALERTS_CANDIDATES, candidates)


def forest(control: Control, models: Models, event: Event, time: int) -> Serving:
    """The isolation forest that serves a sample: its host's, else its tenant's, else that of all."""
    return serving(control, models, Post(forest_artifact.NAME, event["host"]), event["tenant_id"], time)


def content(event: Event) -> str:
    """Everything of a sample but its identity, the same however it was encoded."""
    return repr((event["occurred_at"], _nine(event), sorted(event["extra"].items())))


def score(
    host: HostState, event: Event, candidates: list[dict[str, Any] | None], rules: Rules, together: Together
) -> dict[str, Any]:
    """Score and learn one sample; its prediction. What the alert agent should hear is added to `candidates`."""
    time = event["occurred_at"]
    detail: dict[str, float] = {}
    firing: list[Finding] = []
    held: list[str] = []
    unscored: list[str] = []
    seen: list[tuple[Watch, float]] = []
    for name, value in measured(event):
        watch = host.watch(name)
        if watch is None:
            unscored.append(name)
            continue
        seen.append((watch, value))
        watch.see(time, value)
        findings, excited = look(watch, event["host"], value, detail, rules)
        if findings or watch.runs:
            evidence.add(findings, watch, host.calibration, rules.off, together)
            candidates += tell(watch, event, value, findings, excited, rules)
            for kind, finding in findings.items():
                firing.append(finding)
                if watch.runs[kind, finding.direction].held:
                    held.append(name)
    host.note(time, seen)
    reasons = []
    if held:
        reasons.append(f"held back by the alert budget: {', '.join(held)}")
    if together.refused:
        reasons.append(together.refused)
    if unscored:
        reasons.append(
            f"custom metrics past the limit of {EXTRA_LIMIT} per host were not scored: {', '.join(unscored)}"
        )
    made = prediction(event, detail, firing, "; ".join(reasons)[:1000] or None, rules, opens=len(firing) > len(held))
    made["detail"] |= evidence.fired([watch for watch, _ in seen], rules.off)
    return made


def measured(event: Event) -> Iterator[tuple[str, float]]:
    """The metrics that a sample has, the nine first; custom ones in the order of their names."""
    for name in metrics.NAMES:
        value = event[name]
        if value is not None:
            yield name, value
    extra = event["extra"]
    for name in sorted(extra):
        yield name, extra[name]


def look(watch: Watch, host: str, value: float, detail: dict[str, float], rules: Rules) -> tuple[Findings, bool]:
    """What opens or holds an alert about the value that a metric has just seen; scores go into `detail`.

    Returns:
        What fires, by kind of alert, and whether the novelty detector is still excited, firing or not.
    """
    findings: dict[str, Finding] = {}
    novelty, excited = watch.scores[0], False
    if "novelty" not in rules.off:
        detail[f"{watch.name}/novelty"] = novelty
        if watch.stands:
            detail[f"{watch.name}/standing"] = watch.stands
        newly = rules.fires("novelty", watch.name)
        excited = novelty >= newly
        if watch.standing.known:
            found = stands(watch, host, value, rules.fires("standing", watch.name))
        else:
            found = news(watch, host, value, newly)
        if found is not None:
            findings["metric_anomaly"] = found
    if watch.limit is not None and "static" not in rules.off:
        detail[f"{watch.name}/static"] = watch.passed
        if watch.passed >= BREACH:
            findings["metric_static"] = over_limit(watch.name, host, value, watch.passed, watch.limit)
    return findings, excited


def stands(watch: Watch, host: str, value: float, threshold: float) -> Finding | None:
    """Of a series that is known: a value that stands further out than ever, until it is half of the way back."""
    score = watch.stands
    # t / (1 + t) of half the ratio that makes the threshold.
    if score < threshold / (2 - threshold):
        return None
    name, why = watch.name, watch.standing.explain()
    direction, low, high = why["direction"], why["usual_low"], why["usual_high"]
    if score < threshold and not watch.fires(("metric_anomaly", direction)):
        return None
    seen = (max if direction == "up" else min)(value, why["stands"])
    expected = (low + high) / 2
    return Finding(
        detector="standing",
        direction=direction,
        severity=severity_of(name, max(score, watch.scores[0]), abs(seen - expected)),
        score=score,
        expected=expected,
        limit=None,
        summary=f"{name} {show(name, seen)} on {host}: usual {show_range(name, low, high)} at this time of day",
        evidence={key: why[key] for key in ("stands", "usual_low", "usual_high", "excess", "excess_limit")},
    )


def news(watch: Watch, host: str, value: float, threshold: float) -> Finding | None:
    """Of a series that is not known yet: what is new to it."""
    score = watch.scores[0]
    if score < threshold:
        return None
    found, far = novel(watch, host, value, score)
    # During and after an excursion the detector stays excited; only what is out of the range again is news.
    if far or not watch.excursion() or watch.fires(("metric_anomaly", found.direction)):
        return found
    return None


def novel(watch: Watch, host: str, value: float, score: float) -> tuple[Finding, bool]:
    """What the novelty detector has found, an unusual value or a usual one out of place, and whether it is far out."""
    name, why = watch.name, watch.novelty.explain()
    judged, expected, low, high = why["judged"], why["expected"], why["usual_low"], why["usual_high"]
    # Where samples come fast a smoothed value is judged; people want to read the one that is further out.
    seen = max(judged, value) if judged >= expected else min(judged, value)
    usual = f"usual {show_range(name, low, high)} at this hour"
    far = judged > expected + FAR * (high - expected) or judged < expected - FAR * (expected - low)
    if judged > high:
        direction, text = "up", usual
    elif judged < low:
        direction, text = "down", usual
    else:
        direction, text = "none", f"in the range {usual}, but not among the values around it"
    surprises = {f"{part}_surprise": found["surprise"] for part, found in why["parts"].items()}
    severity = severity_of(name, score, abs(seen - expected))
    return Finding(
        detector="novelty",
        direction=direction,
        severity=severity if direction != "none" else min(severity, "WARNING", key=RANK.__getitem__),
        score=score,
        expected=expected,
        limit=None,
        summary=f"{name} {show(name, seen)} on {host}: {text}",
        evidence={"judged": judged, "usual_low": low, "usual_high": high, **surprises},
    ), far


def over_limit(name: str, host: str, value: float, score: float, rule: StaticLimit) -> Finding:
    return Finding(
        detector="static",
        direction="up",
        severity=rule.severity,
        score=score,
        expected=None,
        limit=rule.limit,
        summary=f"{name} {show(name, value)} on {host}: over the limit of {show(name, rule.limit)}",
        evidence={},
    )


def tell(
    watch: Watch, event: Event, value: float, findings: Findings, excited: bool, rules: Rules
) -> Iterator[dict[str, Any]]:
    """Candidates of one metric: what begins, gets worse, goes on into another minute, or ends.

    What the budget holds back is told as that, until a sample is rare enough; from then on it fires to its end.
    """
    time = event["occurred_at"]
    fired = {(kind, finding.direction): finding for kind, finding in findings.items()}
    for what in sorted(watch.runs.keys() - fired.keys()):
        run, (kind, direction) = watch.runs[what], what
        if run.echo:
            if run.fade(excited, time):
                watch.end(what)
            elif excited:
                watch.touch(what)
            continue
        watch.touch(what)
        if run.rest(kind, time):
            yield clear(watch.name, what, run, event, value)
            run.echo = kind == "metric_anomaly" and direction != "none"
            if not run.echo:
                watch.end(what)
    for what, finding in fired.items():
        watch.touch(what)
        held = rules.holds(finding)
        found = watch.runs.get(what)
        if found is None or found.echo:
            found = watch.runs[what] = Run.begin(finding.severity, time, held)
        elif not found.fire(finding.severity, time, held):
            continue
        if found.held:
            finding.evidence["cut"] = rules.cuts[finding.detector]
        yield firing(watch.name, what[0], finding, found, event, value)


def firing(name: str, kind: str, finding: Finding, run: Run, event: Event, value: float) -> dict[str, Any]:
    return candidate(event, kind, name, finding.direction, "held_back" if run.held else "firing") | {
        "severity": finding.severity,
        "samples": run.told(),
        "score": finding.score,
        "value": value,
        "expected": finding.expected,
        "limit": finding.limit,
        "summary": finding.summary,
        "evidence": finding.evidence,
    }


def clear(name: str, what: tuple[str, str], run: Run, event: Event, value: float) -> dict[str, Any]:
    kind, direction = what
    return candidate(event, kind, name, direction, "clear") | {
        "severity": run.severity,
        "samples": run.told(),
        "score": 0.0,
        "value": value,
        "expected": None,
        "limit": None,
        "summary": f"{name} {show(name, value)} on {event['host']}: {run.clean} clean samples",
        "evidence": {},
    }


def candidate(event: Event, kind: str, metric: str, direction: str, phase: str) -> dict[str, Any]:
    """What all candidates of a sample have in common."""
    tenant, host, cause, time = event["tenant_id"], event["host"], event["event_id"], event["occurred_at"]
    return alerts.candidate(tenant, kind, host, metric, direction, phase, cause, time)


def prediction(
    event: Event,
    detail: Mapping[str, float],
    firing: list[Finding],
    fallback_reason: str | None,
    rules: Rules,
    *,
    opens: bool = False,
) -> dict[str, Any]:
    """The prediction record of a sample; without detail it was not scored, and says why in `fallback_reason`.

    `opens`: whether something of what fires is an alert, and not held back.
    """
    tenant, event_id = event["tenant_id"], event["event_id"]
    probability = max(detail.values(), default=0.0)
    severity = max((finding.severity for finding in firing), key=RANK.__getitem__, default=None)
    calm = "LOW" if probability < rules.threshold else "MEDIUM"
    return {
        "tenant_id": tenant,
        "prediction_id": prediction_id(tenant, MODEL, SLOT, event_id),
        "event_id": event_id,
        "subject": event["host"],
        "model": MODEL,
        "model_version": VERSION,
        "calibration_version": "none",
        "feature_set": metrics.FEATURE_SET,
        "slot": SLOT,
        "event_time": event["occurred_at"],
        "probability": probability,
        "interval_low": None,
        "interval_high": None,
        "interval_width": None,
        "label_set_90": None,
        "label_set_95": None,
        "label_set_99": None,
        "calibration_score": None,
        "risk_level": calm if severity is None else RISK[severity],
        "decision": "alert" if opens else "clear",
        "certified": False,
        "control_offset": rules.offset,
        "features": list(_nine(event)),
        "contributions": None,
        "detail": dict(detail),
        "advice": None,
        "held_out": False,
        "fallback_reason": fallback_reason,
        "scored_by": "stream",
    }


def agent(models: Models = NO_MODELS) -> Agent:
    """The agent with the models that its worker loads."""
    return Agent(
        name="metrics",
        inputs=(topics.EVENTS_METRICS,),
        outputs=(topics.PREDICTIONS_ANOMALY, topics.ALERTS_CANDIDATES),
        process=partial(process, models=models),
        timers=True,
        settings=DEFAULTS,
        level=STATE_LEVEL,
    )


METRICS = agent()
