"""Syncs of simulated mobile users, and whether they conflicted."""

from producers.simulator.sync import Scenario, Simulation
from schemas import topics
from tests.faults.simulated import DAYS, Kind, first_day

TENANTS, USERS = 2, 120


SYNC = Kind(
    days=lambda seed: Simulation(Scenario(TENANTS, USERS, DAYS, first_day(), seed)).days(),
    events=topics.EVENTS_SYNC,
    outcomes=topics.OUTCOMES_SYNC,
    link="event_id",
    other={"fields_changed": ["another"]},
    reverse=lambda outcome: {"conflict_occurred": not outcome["conflict_occurred"]},
    between=topics.SYNC_BY_ENTITY.key_of,
)
