"""What serves a tenant's check-ins now, by the settings and the registry: as a worker would choose it."""

import time
from dataclasses import dataclass
from typing import Any

import click

from models.fraud.artifact import NAME
from models.registry import Place, Registry
from models.registry.activation import Post
from streams.fraud_calibration import calibrated
from streams.serving import Serving, serving
from watchfloor.commands.control import read_control
from watchfloor.registry import READERS, in_words
from watchfloor.settings import Settings


@dataclass(frozen=True, slots=True)
class _Stored:
    """Models as they are asked for. See streams.serving.Models."""

    registry: Registry

    def get(self, place: Place, version: str) -> Any:
        return READERS[place.model](self.registry.load(place, version))


def serving_now(settings: Settings, registry: Registry, tenant: str) -> Serving:
    """Raises ClickException where the heuristic serves, or the version cannot be loaded."""
    control, now, models = read_control(settings), int(time.time() * 1000), _Stored(registry)
    with in_words():
        found = calibrated(control, models, serving(control, models, Post(NAME), tenant, now), tenant, now)
    if found.model is None:
        why = f": {found.refused}" if found.refused else "; `watchfloor models active` shows what does"
        raise click.ClickException(f"no trained model of fraud serves {tenant}{why}")
    return found
