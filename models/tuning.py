"""Tuning detectors to people's verdicts: in which scope a detector cries wolf, and by how much less it should.

Pure: what is proposed depends on the alerts, the factors in force and the time that are given. docs/alerts.md says
what comes of it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from models.alerts import DAY_MS, HOUR_MS
from models.identity import name_fault
from models.metrics import EXTRA_BYTES, HOST_BYTES

FACTOR = "surprise_factor"
"""The family of settings that holds the factor of each scope; see models.control."""

POWER: Mapping[str, float] = {"novelty": 4.0, "standing": 1.0}
"""Odds of a score, s / (1 - s), are the surprise to this power (see `threshold`).

These are the detectors that may be tuned. Static limits and silence adapt to nobody.
"""

SHARE = 0.2
"""A larger share of false alerts than this is too many."""
LEAST = 5
"""So few verdicts at least must speak of a scope."""
WINDOW_MS = 14 * DAY_MS
"""Alerts that opened within this time before now count."""
STEP = 1.1
STEP_MS = DAY_MS
"""At most one step in this time."""
MOST = 1.7
"""The job goes no higher: novelty scores from 0.9, and what stands 1.7 times its limit out, fire under every factor."""
KEEP_MS = 28 * DAY_MS
"""A step expires after this."""

WEEK_HOURS = 168

K = TypeVar("K", bound=Hashable)


def threshold(detector: str, factor: float, base: float = 0.5) -> float:
    """The score from which a detector fires where its surprise must be `factor` times as large as elsewhere.

    The novelty detector adds the logarithms of four surprises relative to their records (the largest counts twice),
    and its score is the logistic of the sum: surprises that are all f times as large multiply the odds of the score by
    f to the 4th power. The surprise of standing is its excess, and the odds of its score are excess / limit.

    Args:
        detector: one of POWER.
        factor: above 0; 1 changes nothing.
        base: score from which it fires elsewhere, 0 to 1.

    >>> threshold("novelty", 1.0), round(threshold("novelty", 1.1), 4), round(threshold("novelty", 1.7), 4)
    (0.5, 0.5942, 0.8931)
    >>> round(threshold("standing", 1.1), 4)  # 1.1 / 2.1: 1.1 times the limit
    0.5238
    """
    raised: float = base * factor ** POWER[detector]
    return raised / (raised + 1.0 - base)


def hour_of_week(time: int) -> int:
    """Hour of the week, 0 to 167, in UTC; 0 is Monday 00:00. `time`: epoch milliseconds.

    >>> hour_of_week(0)  # a Thursday
    72
    """
    return (time // HOUR_MS + 72) % WEEK_HOURS


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where a factor holds: one detector on one metric of one host, in one hour of the week (UTC) or, None, in all."""

    detector: str
    host: str
    metric: str
    hour: int | None

    def __str__(self) -> str:
        return f"{self.detector}|{self.host}|{self.metric}|{'*' if self.hour is None else self.hour}"

    @property
    def setting(self) -> str:
        """Name of its setting. No part can hold "|", so it is read back unambiguously."""
        return f"{FACTOR}|{self}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The scope that a text of this form means. Raises ValueError, saying what was expected."""
        parts = text.split("|")
        if len(parts) != 4:
            raise ValueError(f"a scope is DETECTOR|HOST|METRIC|HOUR, not {text[:100]!r}")
        detector, host, metric, hour = parts
        if detector not in POWER:
            raise ValueError(f"the detector of a scope must be one of {', '.join(POWER)}, not {detector[:100]!r}")
        for what, name, limit in (("host", host, HOST_BYTES), ("metric", metric, EXTRA_BYTES)):
            wrong = name_fault(name, limit)
            if wrong:
                raise ValueError(f"the {what} of a scope {wrong}")
        if hour != "*" and (hour not in HOURS):
            raise ValueError(f"the hour of a scope must be 0 to {WEEK_HOURS - 1} or *, not {hour[:100]!r}")
        return cls(detector, host, metric, None if hour == "*" else int(hour))


HOURS = frozenset(map(str, range(WEEK_HOURS)))


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert of a detector that may be tuned.

    Attributes:
        scope: its detector, host, metric, and the hour of the week in which it opened.
        score: the highest of its samples, 0 to 1.
        false: whether a person called it false; None where nobody judged it.
    """

    alert_id: str
    scope: Scope
    opened_at: int
    score: float
    false: bool | None


def detector_of(alert: Mapping[str, Any]) -> str | None:
    """The detector whose score an alert, or a candidate for one, has; None where it is none that can be tuned.

    Only standing says in its evidence where the value `stands`.
    """
    if alert["kind"] != "metric_anomaly":
        return None
    return "standing" if "stands" in alert["evidence"] else "novelty"


def past_alert(alert: Mapping[str, Any]) -> PastAlert | None:
    """What tuning needs of a record of the topic alerts; None for a kind that is never tuned."""
    detector = detector_of(alert)
    if detector is None:
        return None
    opened_at, verdict = alert["opened_at"], alert["verdict"]
    scope = Scope(detector, alert["subject"], alert["metric"], hour_of_week(opened_at))
    false = None if verdict is None else verdict == "false_positive"
    return PastAlert(alert["alert_id"], scope, opened_at, alert["score"], false)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the factor of one scope stands.

    Attributes:
        factor: in force in this very scope; None where it has none of its own.
        stepped_at: when the job took its last step there, epoch milliseconds; None for never.
        decided_at: when a person last changed or undid it; what was judged before is settled by that.
    """

    factor: float | None = None
    stepped_at: int | None = None
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What people say of a detector's alerts, in one scope or in all: `false` of `reviewed` were false."""

    reviewed: int
    false: int

    @property
    def value(self) -> float:
        """false_alert_share, 0 to 1; 0 where nothing was reviewed."""
        return self.false / self.reviewed if self.reviewed else 0.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A step: what it rests on, and what it would have done to the alerts of the last two weeks.

    Attributes:
        share: of the alerts in the scope that would open under the factor in force.
        old, new: factors; old is what holds in the scope, its own or the wider one's.
        vanished: alerts that would not have opened, judged or not, the oldest first.
        lost: those of them that people called true.
    """

    scope: Scope
    share: Share
    old: float
    new: float
    vanished: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def reason(self) -> str:
        """For the history and the audit; ids are shortened to what the command line takes."""
        return (
            f"{self.share.false} of {self.share.reviewed} judged alerts were false ({self.share.value:.0%}) in "
            f"{WINDOW_MS // DAY_MS} days; factor {self.old:g} to {self.new:g}; would vanish: {_ids(self.vanished)}; "
            f"of these true and lost: {_ids(self.lost)}"
        )


def _ids(found: tuple[str, ...], most: int = 30) -> str:
    """How many, and which."""
    if not found:
        return "none"
    more = ", ..." if len(found) > most else ""
    return f"{len(found)} ({', '.join(each[:8] for each in found[:most])}{more})"


def shares(alerts: Iterable[PastAlert], by: Callable[[PastAlert], K]) -> dict[K, Share]:
    """false_alert_share of the alerts that were judged, by what `by` says of each."""
    counts: dict[K, list[int]] = defaultdict(lambda: [0, 0])
    for alert in alerts:
        if alert.false is not None:
            count = counts[by(alert)]
            count[0] += 1
            count[1] += alert.false
    return {key: Share(*count) for key, count in counts.items()}


def proposals(
    alerts: Iterable[PastAlert], standing: Callable[[Scope], Standing], now: int, base: float = 0.5
) -> list[Proposal]:
    """The steps that verdicts call for, in the order of their scopes.

    An hour of the week with enough verdicts is judged by itself; what remains of a metric of a host is judged together,
    for all its hours. Alerts that would not open any more under the factor in force count for nothing, so a step is
    followed by another one only where what is left is still false too often.

    Args:
        alerts: of one tenant.
        standing: how the factor of a scope stands.
        now: epoch milliseconds.
        base: score from which the tenant's detectors fire where no factor holds.
    """
    recent = [alert for alert in alerts if now - WINDOW_MS <= alert.opened_at <= now]
    series: dict[Scope, list[PastAlert]] = defaultdict(list)
    for alert in recent:
        series[wide(alert.scope)].append(alert)
    found = []
    for all_hours in sorted(series, key=str):
        whole, rest = standing(all_hours), []
        hours: dict[Scope, list[PastAlert]] = defaultdict(list)
        for alert in series[all_hours]:
            hours[alert.scope].append(alert)
        for scope in sorted(hours, key=lambda scope: scope.hour or 0):
            own = standing(scope)
            old = own.factor or whole.factor or 1.0
            counted = _counted(hours[scope], own, threshold(scope.detector, old, base))
            if own.factor is not None or sum(alert.false is not None for alert in counted) >= LEAST:
                found += _step(scope, counted, own, old, now, base)
            else:
                rest += counted
        old = whole.factor or 1.0
        found += _step(all_hours, _counted(rest, whole, 0.0), whole, old, now, base)
    return found


def wide(scope: Scope) -> Scope:
    """The scope with all hours."""
    return Scope(scope.detector, scope.host, scope.metric, None)


def _counted(alerts: list[PastAlert], stands: Standing, limit: float) -> list[PastAlert]:
    """Those that would open today, and are not settled by what a person decided since."""
    return [alert for alert in alerts if alert.score >= limit and alert.opened_at > (stands.decided_at or 0)]


def _step(scope: Scope, alerts: list[PastAlert], stands: Standing, old: float, now: int, base: float) -> list[Proposal]:
    """The step of one scope, if it is called for and allowed."""
    share = shares(alerts, lambda _: None).get(None, Share(0, 0))
    if share.reviewed < LEAST or share.value <= SHARE or old >= MOST:
        return []
    if stands.stepped_at is not None and now < stands.stepped_at + STEP_MS:
        return []
    new = min(round(old * STEP, 4), MOST)
    limit = threshold(scope.detector, new, base)
    gone = sorted((alert for alert in alerts if alert.score < limit), key=lambda alert: alert.opened_at)
    lost = tuple(alert.alert_id for alert in gone if alert.false is False)
    return [Proposal(scope, share, old, new, tuple(alert.alert_id for alert in gone), lost)]
