"""Where people's verdicts have raised what a detector needs to fire: see models.tuning."""

from bisect import bisect_left
from collections.abc import Mapping

from models.tuning import FACTOR, POWER, Scope, hour_of_week, threshold
from schemas import topics
from streams.runtime import Control

TOPIC = topics.CONTROL_THRESHOLDS.name
NOWHERE: Mapping[tuple[str, str], float] = {}


def thresholds(
    control: Control, tenant: str, host: str, occurred_at: int, time: int, base: float
) -> Mapping[tuple[str, str], float]:
    """Scores from which detectors fire on a host's metrics, where they are not `base`, by (detector, metric).

    A factor of the hour of the week goes before one of all hours. Where the tenant has no factors, this is one look-up.

    Args:
        occurred_at: event time, which chooses the hour of the week; epoch milliseconds.
        time: record timestamp, at which the factors must hold; epoch milliseconds.
    """
    names = control.scopes(TOPIC, tenant, FACTOR)
    if not names:
        return NOWHERE
    found: dict[tuple[str, str], float] = {}
    hour = hour_of_week(occurred_at)
    for detector in POWER:
        prefix = f"{FACTOR}|{detector}|{host}|"
        # The names are in order, "*" before any hour.
        for place in range(bisect_left(names, prefix), len(names)):
            if not names[place].startswith(prefix):
                break
            scope = Scope.read(names[place].removeprefix(f"{FACTOR}|"))
            if scope.hour in (None, hour):
                factor = control.find(TOPIC, tenant, names[place], time)
                if factor is not None:
                    found[detector, scope.metric] = threshold(detector, factor[1].value, base)
    return found
