"""Every agent of the pipeline, in the order of the data's way."""

from dataclasses import replace

from models.ocr.redaction import NO_KEYS, Keys
from streams import attendance, metrics, ocr, sync
from streams.alerts import ALERTS
from streams.attendance_devices import ATTENDANCE_DEVICES
from streams.attendance_intake import ATTENDANCE_INTAKE
from streams.control import CONTROL
from streams.fraud_outcomes import FRAUD_OUTCOMES
from streams.ocr_health import OCR_HEALTH
from streams.ocr_outcomes import OCR_OUTCOMES
from streams.runtime import Agent
from streams.sealing import NO_SEALER, Sealer
from streams.serving import NO_MODELS, Models
from streams.sync_outcomes import SYNC_OUTCOMES
from streams.sync_users import SYNC_USERS
from streams.tickets import TICKETS


def agents(models: Models = NO_MODELS, keys: Keys = NO_KEYS, sealer: Sealer = NO_SEALER) -> tuple[Agent, ...]:
    """All agents, with the trained models, the keys and the sealer of their worker."""
    every = (
        metrics.agent(models),
        ATTENDANCE_INTAKE,
        ATTENDANCE_DEVICES,
        attendance.agent(models),
        SYNC_USERS,
        sync.agent(models),
        ocr.agent(models, keys),
        OCR_OUTCOMES,
        OCR_HEALTH,
        ALERTS,
        TICKETS,
        FRAUD_OUTCOMES,
        SYNC_OUTCOMES,
        CONTROL,
    )
    return tuple(replace(agent, seal=sealer.seal) if agent.personal else agent for agent in every)


AGENTS = agents()
