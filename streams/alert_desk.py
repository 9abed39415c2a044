"""What all that happens to an alert goes through: each change is told once, as a version, muted or not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from models.alerts import KINDS, MINUTE_MS, move
from streams.alert_state import NEVER, Episode, Past, Silence, TenantAlerts
from streams.incidents import resolved

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class Told:
    """Records to be written, by topic, in order."""

    alerts: Rows = field(default_factory=list)
    incidents: Rows = field(default_factory=list)
    answers: Rows = field(default_factory=list)
    labels: Rows = field(default_factory=list)


@dataclass(slots=True)
class Desk:
    """The alerts of one tenant at work."""

    tenant: TenantAlerts
    told: Told

    def tell(self, entry: Episode | Past, time: int, reason: str, by: str = "system", note: str | None = None) -> None:
        """Tell the next version of an alert, and keep its entry. `time`: event time of what has happened."""
        alert = entry.alert
        alert["seq"] += 1
        alert["updated_at"] = max(alert["updated_at"], time)
        alert |= {"by": by, "reason": reason, "note": note, "muted": muted(self.tenant, alert)}
        if isinstance(entry, Episode):
            entry.minute = max(entry.minute, time // MINUTE_MS)
        self.tenant.keep(entry)
        self.told.alerts.append(dict(alert))

    def resolve(self, episode: Episode, time: int, by: str = "system", note: str | None = None) -> None:
        """End an alert. Raises MoveRefused when it has ended before."""
        alert = episode.alert
        alert["state"] = move(alert["state"], "resolve")
        alert["resolved_at"] = max(alert["updated_at"], time)
        alert["snoozed_until"] = None
        episode.escalate_at = episode.settle_at = NEVER
        self.tell(episode, time, "resolved", by, note)
        resolved(self.tenant, self.told.incidents, alert)
        # What was muted because of it is told now, if it is still open.
        subject = alert["subject"]
        self.unmute(time, lambda other: _inhibits(alert, other), [f"{KINDS[alert['kind']].about}:{subject}"])

    def unmute(self, time: int, covered: Callable[[Mapping[str, Any]], bool], links: list[str] | None = None) -> None:
        """Tell again what is still open of the alerts that something muted until now.

        Args:
            covered: whether it muted an alert.
            links: look among the alerts with these links only.
        """
        tenant = self.tenant
        found = tenant.every(Episode) if links is None else [each for link in links for each in tenant.linked(link)]
        for episode in found:
            if episode.active and covered(episode.alert) and muted(tenant, episode.alert) is None:
                self.tell(episode, time, "unmuted")


def muted(tenant: TenantAlerts, alert: Mapping[str, Any]) -> str | None:
    """Why nobody is notified of an alert right now (by the tenant's clock); None when somebody is."""
    for silence in tenant.every(Silence):
        if silence.lasts(tenant.clock) and silence.covers(alert):
            asked = silence.command
            return f"silence {asked['command_id'][:8]} by {asked['by']}: {asked['text']}"
    until = alert["snoozed_until"]
    if until is not None and tenant.clock < until:
        return f"snoozed until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    if KINDS[alert["kind"]].inhibited_by is not None:
        for link in alert["links"]:
            for other in tenant.linked(link):
                if other.active and _inhibits(other.alert, alert):
                    return f"{other.alert['kind']} is open: {other.alert['alert_id'][:8]}"
    return None


def _inhibits(alert: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether an alert explains another one, as that of a silent host explains those of its metrics."""
    return bool(KINDS[other["kind"]].inhibited_by == alert["kind"] and other["subject"] == alert["subject"])
