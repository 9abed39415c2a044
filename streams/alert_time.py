"""What time alone does to a tenant's alerts: escalation, ends of snoozes and silences, calm, closing, forgetting.

Time is the tenant's clock, the newest event time that it has heard. While nothing is heard of a tenant, it goes on with
the partition's clock: a timer fires after as much of it as is left to the tenant's next deadline.
"""

import struct

from models.alerts import ESCALATE_MS, ESCALATIONS, move
from streams.alert_desk import Desk
from streams.alert_state import NEVER, Episode, Past, Silence, TenantAlerts
from streams.incidents import close
from streams.runtime import Due
from streams.runtime.timers import Timers

TIMER = b"due"
_TIMES = struct.Struct(">qq")


def arm(timers: Timers, key: bytes, tenant: TenantAlerts, clock: int) -> None:
    """Let the tenant's next deadline come even if nothing more is heard of it. `clock`: the partition's."""
    nearest = tenant.nearest()
    if nearest is None:
        timers.cancel(key, TIMER)
        return
    times = _TIMES.pack(tenant.clock, nearest)
    held = timers.get(key, TIMER)
    # What changes nothing, a late candidate for example, does not put it off.
    if held is None or held[1] != times:
        timers.set(key, TIMER, clock + nearest - tenant.clock, times)


def fired(desk: Desk, moment: Due) -> None:
    """So much time has passed without a word of the tenant that its next deadline has come."""
    _, nearest = _TIMES.unpack(moment.payload)
    due(desk, nearest)


def due(desk: Desk, clock: int) -> None:
    """Let the tenant's clock reach `clock`; what falls due on the way happens in the order of its times."""
    tenant = desk.tenant
    while (entry := tenant.next_due(clock)) is not None:
        time = entry.deadline
        tenant.clock = max(tenant.clock, time)
        if isinstance(entry, Episode):
            _episode(desk, entry, time)
        elif isinstance(entry, Past):
            tenant.drop(entry)
        elif isinstance(entry, Silence):
            tenant.drop(entry)
            desk.unmute(time, entry.covers)
        else:
            close(tenant, desk.told.incidents, entry)
    tenant.clock = max(tenant.clock, clock)


def _episode(desk: Desk, episode: Episode, time: int) -> None:
    """The first of what an alert is due for; what else is due at that time comes next."""
    alert = episode.alert
    if not episode.active:
        desk.tenant.forget(episode)
    elif alert["snoozed_until"] == time:
        alert["snoozed_until"] = None
        desk.tenant.keep(episode)
        desk.unmute(time, lambda other: other is alert, alert["links"])
    elif episode.settle_at == time:
        desk.resolve(episode, time)
    else:
        alert["state"] = move(alert["state"], "escalate")
        alert["escalation"] += 1
        again = alert["escalation"] < ESCALATIONS
        episode.escalate_at = time + ESCALATE_MS[alert["severity"]] if again else NEVER
        desk.tell(episode, time, "escalated")
