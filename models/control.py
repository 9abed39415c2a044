"""The catalogue of settings that are changed while everything runs: name, type, range, default, what it means.

A value is written as JSON text. See docs/control.md for how a change is made and when it holds.
"""

import json
import math
from dataclasses import dataclass

from models.identity import TENANT
from schemas import topics

EVERYONE = "*"
"""Stands for all tenants: what holds where a tenant has no value of its own."""

Value = bool | int | float

MOST_TEXT = 100
"""Characters of a value as JSON text."""

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


class InvalidValue(ValueError):
    """A value that its setting does not take; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: unique in the catalogue.
        topic: control topic that keeps its versions.
        default: where neither the tenant nor `*` has a value; its type is that of every value.
        doc: what it does, one sentence.
        low, high: least and greatest value, both allowed; finite for numbers.
        unit: of a number; empty for flags and shares.
        everyone: it exists for `*` alone.
        at_once: a change holds for every record from then on, whatever the record's timestamp.
    """

    name: str
    topic: str
    default: Value
    doc: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    everyone: bool = False
    at_once: bool = False

    def read(self, text: str) -> Value:
        """The value that a JSON text means. Raises InvalidValue."""
        kind = type(self.default)
        try:
            value: object = json.loads(text) if len(text) <= MOST_TEXT else None
        except ValueError:
            value = None
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, bool | int | float) or type(value) is not kind:
            value = math.nan  # which is in no range
        if not self.low <= value <= self.high:
            raise InvalidValue(f"{self.name} must be {self.expected}, not {text[:MOST_TEXT]}")
        return value

    @property
    def expected(self) -> str:
        """The values that it takes, in words."""
        text = KINDS[type(self.default)]
        if self.low > -math.inf:
            text += f" from {self.low:g} to {self.high:g}"
        return f"{text} ({self.unit})" if self.unit else text


def _flag(name: str, default: bool, doc: str, *, everyone: bool = False, at_once: bool = False) -> Setting:
    return Setting(name, topics.CONTROL_FLAGS.name, default, doc, everyone=everyone, at_once=at_once)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        _flag("observe_only", False, "Score and log, act on nothing."),
        _flag("auto_ticket", False, "Make a ticket where a prediction is both high and certain."),
        _flag("auto_retrain", False, "Retrain a model when it drifts or gets worse."),
        _flag("auto_activate", False, "Activate a retrained model that passed its validation."),
        _flag("drift_detection", True, "Compare what comes in with what models learnt from."),
        _flag("drift_alerts", True, "Tell the NOC about drift."),
        _flag("tuning", True, "Adjust detectors to the NOC's verdicts."),
        _flag("pool_data", False, "Let the global model learn from this tenant's labels."),
        _flag("presumed_genuine", False, "Take what nobody reviewed for genuine when models learn."),
        _flag("mute_on_false_alerts", False, "Mute a model whose false alerts are CRITICAL until it is reviewed."),
        _flag(
            "stop_automatic",
            False,
            "No tickets, retrains, activations or tuning anywhere, until lifted.",
            everyone=True,
            at_once=True,
        ),
        Setting(
            "anomaly_threshold",
            topics.CONTROL_THRESHOLDS.name,
            0.5,
            "Score of the novelty detector from which a sample fires; static limits have rules of their own.",
            low=0.0,
            high=1.0,
        ),
        Setting(
            "alert_budget",
            topics.CONTROL_THRESHOLDS.name,
            10,
            "Alerts that the NOC can look at; static limits do not count.",
            low=0,
            high=10_000,
            unit="alerts per 8 hours",
        ),
    )
}

DEFAULTS: dict[tuple[str, str], Value] = {
    (setting.topic, setting.name): setting.default for setting in SETTINGS.values()
}
"""What holds where nobody has set anything, by control topic and name."""


def is_scope(tenant: str) -> bool:
    """Whether a text is a tenant's name or `*`."""
    return tenant == EVERYONE or TENANT.fullmatch(tenant) is not None
