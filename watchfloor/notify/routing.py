"""Whether a version of an alert is told on a channel, now or at the end of quiet hours. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from models.alerts import RANK
from watchfloor.notify.config import Route

NEWS = ("opened", "reopened", "severity", "escalated", "unmuted")
"""Reasons of versions that are told while the alert is open; `resolved` is told where the route says so."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`until`: the end of the quiet hours, for what is held."""

    what: Literal["tell", "hold", "skip"]
    until: datetime | None = None


SKIP, TELL = Decision("skip"), Decision("tell")


def decide(alert: Mapping[str, Any], routes: Sequence[Route], now: datetime) -> Decision:
    """What becomes of a version of an alert on the channel of these routes.

    A channel hears of it when any route leads there, and is quiet only while all of those are.
    """
    resolved = alert["reason"] == "resolved"
    if not (resolved or alert["reason"] in NEWS) or alert.get("muted"):
        return SKIP
    matching = [route for route in routes if matches(alert, route) and (route.resolved or not resolved)]
    if not matching:
        return SKIP
    ends = [quiet_until(alert, route, now) for route in matching]
    if any(end is None for end in ends):
        return TELL
    # In the morning a resolution is old news: what was held is dropped, what was told before stays in the tables.
    return SKIP if resolved else Decision("hold", min(end for end in ends if end is not None))


def matches(alert: Mapping[str, Any], route: Route) -> bool:
    return (
        (not route.tenants or alert["tenant_id"] in route.tenants)
        and (not route.kinds or alert["kind"] in route.kinds)
        and RANK[alert["severity"]] >= RANK[route.severity]
    )


def quiet_until(alert: Mapping[str, Any], route: Route, now: datetime) -> datetime | None:
    if route.quiet is None or RANK[alert["severity"]] >= RANK[route.quiet.through]:
        return None
    return route.quiet.until(now)
