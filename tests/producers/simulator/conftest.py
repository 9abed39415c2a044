"""Small worlds, run once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

import pytest

from producers.simulator import Scenario, Simulation

SMALL = Scenario(tenants=3, people=150, days=26, start=date(2026, 3, 9), seed=7, fraud_rate=0.05)


@dataclass(frozen=True, slots=True)
class World:
    """A simulation and all that came of it; `truth` is the mechanism by event_id."""

    simulation: Simulation
    events: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    truth: dict[str, str]

    @property
    def frauds(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_id"] in self.truth]

    @property
    def honest(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_id"] not in self.truth]


@cache
def world(scenario: Scenario = SMALL) -> World:
    simulation = Simulation(scenario)
    days = list(simulation.days())
    return World(
        simulation,
        [event for day in days for event in day.events],
        [outcome for day in days for outcome in day.outcomes],
        {record["event_id"]: record["mechanism"] for day in days for record in day.truth},
    )


@pytest.fixture(scope="session")
def small() -> World:
    return world()


@pytest.fixture(scope="session")
def varied() -> Callable[..., World]:
    """The small world with other parameters."""
    return lambda **changes: world(replace(SMALL, **changes))
