"""The catalogue of settings that are changed while everything runs: name, type, range, default, what it means.

A value is written as JSON text. See docs/control.md for how a change is made and when it holds.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from models import attendance
from models.anomaly import DETECTORS
from models.anomaly.budget import NOTHING, ORDER
from models.fraud import policy, rules
from models.fraud.references import CALENDAR, ROSTER, SITE
from models.identity import NAME_BYTES, TENANT, name_fault
from models.ocr import plates
from models.ocr import policy as ocr
from models.readings import SOURCE_TYPES
from models.registry import activation
from models.tuning import FACTOR, Scope
from schemas import topics
from schemas.codec import EncodeError
from schemas.topics import Topic

EVERYONE = "*"
"""Stands for all tenants: what holds where a tenant has no value of its own."""

Value = bool | int | float | str | dict[str, Any]

STATE_LEVEL = 0
"""Of the state's formats in this release: one more than in the release before where any of them has changed."""

MOST_TEXT = 100
"""Characters of a value as JSON text, as a rule."""
MOST_RECORD = 100_000
"""Those of a record of reference data."""

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
WHO_PAUSES = re.compile(r"all|[a-z][a-z0-9_-]*(/[0-9]+)?")
"""All partitions, those of an agent, or one of them."""
SHARE = r"[0-9](\.[0-9]{1,20})?"
"""A probability as text, or a cut above 1, which is never reached."""


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
        pattern: of a text, which must match it whole; its default is no such text: nothing was said yet.
        everyone: it exists for `*` alone.
        rising: it can only be raised: no undo, no end, no lower value.
        at_once: a change holds for every record from then on, whatever the record's timestamp.
        scope: where it is a family of settings, one for each scope of a tenant: reads the scope, which stands behind
            the family's name and a "|", and raises ValueError.
        of_tenant: it exists for single tenants alone.
        most: characters of a value as JSON text.
        wrong: of a text that matches the pattern: what is wrong with it all the same; None for a good one.
        record: where its values are records of reference data: the topic with their schema. A value has its fields
            but for those of the key and `updated_at`.
        fault: what is wrong with such a record; None for a good one.
    """

    name: str
    topic: str
    default: Value
    doc: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    pattern: re.Pattern[str] | None = None
    everyone: bool = False
    at_once: bool = False
    rising: bool = False
    scope: Callable[[str], object] | None = None
    of_tenant: bool = False
    most: int = MOST_TEXT
    wrong: Callable[[str], str | None] = lambda text: None
    record: Topic | None = None
    fault: Callable[[Mapping[str, Any]], str | None] = lambda record: None

    def read(self, text: str) -> Value:
        """The value that a JSON text means. Raises InvalidValue."""
        if self.record is not None:
            return self._read_record(self.record, text)
        kind = type(self.default)
        try:
            value: object = json.loads(text) if len(text) <= self.most else None
        except ValueError:
            value = None
        if self.pattern is not None:
            if not isinstance(value, str) or not self.pattern.fullmatch(value):
                raise InvalidValue(f"{self.name} must be {self.expected}, not {text[:MOST_TEXT]}")
            if wrong := self.wrong(value):
                raise InvalidValue(f"{self.name} cannot be {value[:MOST_TEXT]}: {wrong}")
            return value
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, bool | int | float) or type(value) is not kind:
            value = math.nan  # which is in no range
        if not self.low <= value <= self.high:
            raise InvalidValue(f"{self.name} must be {self.expected}, not {text[:MOST_TEXT]}")
        return value

    def _read_record(self, topic: Topic, text: str) -> dict[str, Any]:
        keys = ["tenant_id", *(topic.key or ()), "updated_at"]
        try:
            given = json.loads(text) if len(text) <= self.most else None
            if not isinstance(given, dict):
                raise ValueError(f"it came as {text[:MOST_TEXT]}")
            own = dict.fromkeys(keys[:-1], "x")
            whole = topic.codec.decode(topic.codec.encode({**given, **own, "updated_at": 0}))
            unknown = given.keys() - (whole.keys() - set(keys))
            wrong = f"it has no field {min(unknown)}" if unknown else self.fault(whole)
        except (ValueError, EncodeError) as error:
            raise InvalidValue(f"{self.name} must be {self.expected}: {error}") from error
        if wrong:
            raise InvalidValue(f"{self.name} must be {self.expected}: {wrong}")
        return {name: value for name, value in whole.items() if name not in keys}

    @property
    def expected(self) -> str:
        """The values that it takes, in words."""
        if self.record is not None:
            return f"an object with the fields of {self.record.name} but for its key and updated_at"
        if self.pattern is not None:
            return f"a text of the form {self.pattern.pattern}"
        text = KINDS[type(self.default)]
        if self.low > -math.inf:
            text += f" from {self.low:g} to {self.high:g}"
        return f"{text} ({self.unit})" if self.unit else text


def _flag(name: str, default: bool, doc: str, *, everyone: bool = False, at_once: bool = False) -> Setting:
    return Setting(name, topics.CONTROL_FLAGS.name, default, doc, everyone=everyone, at_once=at_once)


def _named(scope: str) -> None:
    """A scope that is the id of a site or person. Raises ValueError."""
    if wrong := name_fault(scope, NAME_BYTES):
        raise ValueError(f"the id after the | {wrong}")


def _reference(
    name: str, doc: str, record: Topic, fault: Callable[[Mapping[str, Any]], str | None], scope: bool
) -> Setting:
    topic = topics.CONTROL_REFERENCES.name
    return Setting(
        name,
        topic,
        {},
        doc,
        scope=_named if scope else None,
        of_tenant=True,
        most=MOST_RECORD,
        record=record,
        fault=fault,
    )


DETECTOR_FLAGS: dict[str, str] = {name: f"{name}_detector" for name in DETECTORS}
"""The flag that switches a detector on or off, by its name."""

CUTS: dict[str, str] = {name: f"{name}_cut" for name in ORDER}
"""The setting that holds the alert budget's cut of a detector, by its name."""

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
        *(
            _flag(flag, True, f"Let {name} be heard in metrics; switched off it goes on learning.")
            for name, flag in DETECTOR_FLAGS.items()
        ),
        Setting(
            "anomaly_threshold",
            topics.CONTROL_THRESHOLDS.name,
            0.5,
            "Score of standing and novelty from which a sample fires; static limits have rules of their own.",
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
        *(
            Setting(
                cut,
                topics.CONTROL_THRESHOLDS.name,
                0.0,
                f"An anomaly that {name} finds with a lower score is held back: unless it is CRITICAL, it opens no "
                "alert. Set daily from alert_budget; above 1 holds back all of them.",
                low=0.0,
                high=NOTHING,
            )
            for name, cut in CUTS.items()
        ),
        Setting(
            FACTOR,
            topics.CONTROL_THRESHOLDS.name,
            1.0,
            "How many times more surprise a detector needs to fire, in one scope: surprise_factor|DETECTOR|HOST|METRIC|"
            "HOUR, where HOUR is the hour of the week in UTC (0 is Monday 00:00) or * for all.",
            low=0.5,
            high=2.0,
            unit="times",
            scope=Scope.read,
            of_tenant=True,
        ),
        Setting(
            "dead_letter_limit",
            topics.CONTROL_THRESHOLDS.name,
            100,
            "More dead letters than this within 5 minutes pause their partition until it is released.",
            low=0,
            high=1_000_000_000,
            unit="dead letters",
            everyone=True,
            at_once=True,
        ),
        Setting(
            "dead_letter_share",
            topics.CONTROL_THRESHOLDS.name,
            0.01,
            "From 20 dead letters within 5 minutes on, a larger share of the records than this pauses their partition.",
            low=0.0,
            high=1.0,
            everyone=True,
            at_once=True,
        ),
        Setting(
            policy.CUTS,
            topics.CONTROL_THRESHOLDS.name,
            "",
            "Probabilities of fraud from which the risk is MEDIUM, HIGH and CRITICAL, as MEDIUM/HIGH/CRITICAL, instead "
            "of those of the trained model that serves; the heuristic keeps its own.",
            pattern=re.compile(f"{SHARE}/{SHARE}/{SHARE}"),
            wrong=policy.cuts_fault,
        ),
        Setting(
            policy.AUDIT,
            topics.CONTROL_THRESHOLDS.name,
            policy.AUDITED,
            "Share of the cleared check-ins that is drawn at random for supervisors; 0 for no audit.",
            low=0.0,
            high=1.0,
        ),
        Setting(
            policy.TRAVEL,
            topics.CONTROL_THRESHOLDS.name,
            rules.TRAVEL_KMH,
            "Faster travel between two good fixes is impossible, and at least HIGH, whatever the score says.",
            low=100.0,
            high=1_000_000.0,
            unit="km/h",
        ),
        Setting(
            policy.CERTIFICATE,
            topics.CONTROL_MODELS.name,
            "",
            "From which p0 on reviews have proved tickets right, and of which version alone, as "
            "TENANT/SUBJECT/VERSION@P0, with +CALIBRATION after VERSION for one of its own, or none.",
            pattern=re.compile(f"none|[^/|\\s]+/[^/|\\s]+/v[0-9]{{8}}_[0-9]{{6}}([+]v[0-9]{{8}}_[0-9]{{6}})?@{SHARE}"),
            of_tenant=True,
            most=500,
            wrong=policy.certificate_fault,
        ),
        *(
            Setting(
                ocr.CAPTURE[source],
                topics.CONTROL_THRESHOLDS.name,
                0.7,
                f"A {source} with a lower OCR confidence is captured: somebody should look at it.",
                low=0.0,
                high=1.0,
            )
            for source in SOURCE_TYPES
        ),
        _flag(ocr.PLAIN, False, "Keep plates that were read in plain text, beside their fingerprints."),
        Setting(
            ocr.COUNTRIES,
            topics.CONTROL_THRESHOLDS.name,
            "",
            "Countries whose plates come, as DE,FR; without it all that are known.",
            pattern=re.compile("[A-Z]{2}(,[A-Z]{2})*"),
            wrong=plates.countries_fault,
        ),
        Setting(
            activation.ACTIVE,
            topics.CONTROL_MODELS.name,
            "",
            "Which stored version of a model serves: active|MODEL|SLOT, or active|MODEL|SLOT|SUBJECT for one host; its "
            "value is TENANT/SUBJECT/VERSION, as in the folder of models, or none; see `watchfloor models activate`.",
            pattern=activation.VALUE,
            scope=activation.Post.read,
            most=500,
        ),
        _flag(
            "models_off",
            False,
            "No trained model serves anywhere; the documented heuristics score until it is lifted.",
            everyone=True,
            at_once=True,
        ),
        Setting(
            "release",
            topics.CONTROL_FLAGS.name,
            "",
            "Lets partitions that dead letters have paused go on: AGENT/PARTITION, AGENT, or all.",
            pattern=WHO_PAUSES,
            everyone=True,
            at_once=True,
        ),
        Setting(
            "state_level",
            topics.CONTROL_FLAGS.name,
            0,
            "Up to which level upgrades are finalised; set by `watchfloor upgrade finalize`, there is no way back.",
            low=0,
            high=STATE_LEVEL,
            everyone=True,
            at_once=True,
            rising=True,
        ),
        _reference(SITE, "A site: site|ID.", topics.CONTROL_SITES, attendance.site_fault, scope=True),
        _reference(
            CALENDAR, "Weekend and own holidays.", topics.CONTROL_CALENDARS, attendance.calendar_fault, scope=False
        ),
        _reference(
            ROSTER,
            "Where somebody may work: roster|PERSON.",
            topics.CONTROL_ROSTERS,
            attendance.roster_fault,
            scope=True,
        ),
    )
}

REFERENCES: dict[str, Setting] = {each.record.name: each for each in SETTINGS.values() if each.record is not None}
"""The settings that are reference data, by the topic with the schema of their records."""

DEFAULTS: dict[tuple[str, str], Value] = {
    (setting.topic, setting.name): setting.default for setting in SETTINGS.values()
}
"""What holds where nobody has set anything, by control topic and name."""


def setting_of(name: str) -> Setting:
    """The setting that a name means; of a family it is `family|scope`. Raises ValueError, saying what was expected."""
    family, bar, scope = name.partition("|")
    setting = SETTINGS.get(family)
    if setting is None:
        near = get_close_matches(family[:100], SETTINGS, cutoff=0.7)
        meant = f": is {' or '.join(near)} meant?" if near else ":"
        raise ValueError(f"there is no setting {name[:100]!r}{meant} `watchfloor control get` lists them")
    if setting.scope is None:
        if bar:
            raise ValueError(f"{family} has no scopes: name must be {family}, not {name[:100]!r}")
    else:
        setting.scope(scope)
    return setting


def is_scope(tenant: str) -> bool:
    """Whether a text is a tenant's name or `*`."""
    return tenant == EVERYONE or TENANT.fullmatch(tenant) is not None
