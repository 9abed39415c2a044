"""Every agent of the pipeline, in the order of the data's way."""

from streams import attendance, metrics, sync
from streams.alerts import ALERTS
from streams.attendance_devices import ATTENDANCE_DEVICES
from streams.attendance_intake import ATTENDANCE_INTAKE
from streams.control import CONTROL
from streams.fraud_outcomes import FRAUD_OUTCOMES
from streams.runtime import Agent
from streams.serving import NO_MODELS, Models
from streams.sync_outcomes import SYNC_OUTCOMES
from streams.sync_users import SYNC_USERS
from streams.tickets import TICKETS


def agents(models: Models = NO_MODELS) -> tuple[Agent, ...]:
    """All agents, those that use trained models with what their worker loads."""
    return (
        metrics.agent(models),
        ATTENDANCE_INTAKE,
        ATTENDANCE_DEVICES,
        attendance.agent(models),
        SYNC_USERS,
        sync.agent(models),
        ALERTS,
        TICKETS,
        FRAUD_OUTCOMES,
        SYNC_OUTCOMES,
        CONTROL,
    )


AGENTS = agents()
