"""A tenant's alerts in the hands of a test: candidates and commands by the minute."""

from typing import Any

from schemas import topics
from streams.alert_commands import obey
from streams.alert_desk import Desk, Told
from streams.alert_state import TenantAlerts
from streams.alert_time import due
from streams.alerts import advance

NOON = 1_790_000_040_000  # the start of a minute
MINUTE = 60_000


def candidate(
    at: float,
    phase: str = "firing",
    severity: str = "WARNING",
    samples: int = 1,
    *,
    tenant: str = "acme",
    kind: str = "metric_anomaly",
    subject: str = "web-1",
    metric: str = "cpu_percent",
    score: float = 0.6,
    **other: Any,
) -> dict[str, Any]:
    """A candidate `at` minutes after noon."""
    return {
        "tenant_id": tenant,
        "candidate_id": f"{tenant}-{subject}-{metric}-{at}-{phase}",
        "kind": kind,
        "subject": subject,
        "metric": metric,
        "direction": "up",
        "fingerprint": f"{tenant}|{kind}|{subject}|{metric}|up",
        "phase": phase,
        "severity": severity,
        "event_id": f"e-{at}",
        "event_time": NOON + round(at * MINUTE),
        "samples": samples,
        "score": score,
        "value": 97.0,
        "expected": 20.0,
        "limit": None,
        "summary": f"{metric} 97 % on {subject}",
        "evidence": {"usual_low": 12.0, "usual_high": 35.0},
    } | other


def command(at: float, action: str, *, until: float | None = None, **other: Any) -> dict[str, Any]:
    """A command `at` minutes after noon; `until`, too, is in minutes."""
    names = (
        "alert_id fingerprint incident_id silence_id text assignee verdict begins_at kind subject metric severity into"
    )
    return {
        **dict.fromkeys(names.split()),
        "alert_ids": [],
        "tenant_id": "acme",
        "command_id": f"{action}-{at}",
        "action": action,
        "by": "ines",
        "at": NOON + round(at * MINUTE),
        "until": None if until is None else NOON + round(until * MINUTE),
    } | other


class Noc:
    """One tenant without a runtime around it: what happens is told in `told`, what is stored lies in `stored`."""

    def __init__(self, restarts: bool = False) -> None:
        self.told = Told()
        self.stored: dict[bytes, bytes] = {}
        self.tenant = TenantAlerts()
        self._restarts = restarts

    def hears(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The versions of alerts that a candidate or a command gives."""
        before = len(self.told.alerts)
        if self._restarts:
            self.tenant = TenantAlerts.load(b"acme", self.stored.get)
        (obey if "command_id" in event else advance)(self._desk(), event)
        self._store()
        return self.told.alerts[before:]

    def reaches(self, at: float) -> list[dict[str, Any]]:
        """The versions that are due until `at` minutes after noon."""
        before = len(self.told.alerts)
        due(self._desk(), NOON + round(at * MINUTE))
        self._store()
        return self.told.alerts[before:]

    @property
    def answer(self) -> dict[str, Any]:
        return self.told.answers[-1]

    def _desk(self) -> Desk:
        return Desk(self.tenant, self.told)

    def _store(self) -> None:
        for name, raw in self.tenant.changes():
            if raw is None:
                self.stored.pop(name, None)
            else:
                self.stored[name] = raw
        # What is told fits its topics.
        for topic, rows in (
            (topics.ALERTS, self.told.alerts),
            (topics.INCIDENTS, self.told.incidents),
            (topics.ALERTS_ANSWERS, self.told.answers),
            (topics.LABELLED_ANOMALY, self.told.labels),
        ):
            if rows:
                assert topic.codec.decode(topic.codec.encode(rows[-1])) == rows[-1]


def minutes(time: int | None) -> float | None:
    return None if time is None else (time - NOON) / MINUTE
