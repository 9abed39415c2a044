"""From readings to feature vectors, and what is learned of an asset: the one way for the stream, training, evaluation.

A reading is measured against its asset and then remembered as what it is: unconfirmed. What a person says of it
confirms it, or what it should have been.
"""

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from models.ocr import meter as meters
from models.ocr.device import ALPHABET, UNSEEN, Device, judge, read_once
from models.ocr.gate import Gate
from models.ocr.meter import DAY_MS, NEW, Judged, Lead, Meter, Shown, confirm, lead, number, own_rate, seen
from models.ocr.plates import known
from models.ocr.redaction import (
    MOST_DIGITS,
    NO_KEYS,
    UNKNOWN,
    Keys,
    Prints,
    Redacted,
    classes,
    meter,
    plate,
    prints,
    redact_plate,
)
from models.readings import METER, RIGHT, UNSURE, WRONG

NAN = math.nan
MENDS, MENDED = 3.0, 0.25
"""A reading that deviates by over MENDS days of running is mendable where another character leaves MENDED of that."""
MOST_CANDIDATES = 64
SCALES = (1.0, 0.1, 0.01, 0.001, 0.0001)

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tenant demands.

    Attributes:
        plain: whether its plates may be kept in plain text.
        countries: whose plates come, separated by commas; empty: all that are known.
    """

    plain: bool = False
    countries: str = ""


class Memory(dict[bytes, Any]):
    """Values by asset; None where there is none. Stands in for the state of a partition."""

    def __missing__(self, key: bytes) -> None:
        return None


class Gates(dict[bytes, Gate]):
    """Gates by asset, made when they are asked for."""

    def __missing__(self, key: bytes) -> Gate:
        found = self[key] = Gate()
        return found


@dataclass(frozen=True, slots=True)
class Assets:
    """What is remembered of every asset, by its key."""

    devices: MutableMapping[bytes, Device | None] = field(default_factory=Memory)
    meters: MutableMapping[bytes, Meter | None] = field(default_factory=Memory)
    gate: Callable[[bytes], Gate] = field(default_factory=lambda: Gates().__getitem__)


class Text(NamedTuple):
    """A text of an asset.

    Attributes:
        kept: what may be kept of it.
        compared: what is compared; it may hold personal data, and must not be kept.
        value: the number of a meter.
        prints: fingerprints of a plate.
        meter: whether it is one of a meter.
    """

    kept: Redacted
    compared: str
    value: float | None = None
    prints: Prints | None = None
    meter: bool = False

    @classmethod
    def of(cls, source_type: str, raw: str, tenant: str, rules: Rules, keys: Keys, value: float | None = None) -> Self:
        """The text as it was read or corrected. `value`: what the engine takes it for, where it says so."""
        if source_type == METER:
            digits = meter(raw)
            value = number(raw) if value is None else value
            return cls(Redacted(digits, []), digits, value if _countable(digits, value) else None, meter=True)
        found = prints(keys.of(tenant), plate(raw))
        return cls(redact_plate(raw, found, rules.plain), plate(raw), None, found)

    @property
    def digits(self) -> int:
        """How many digits a meter showed."""
        return len(self.compared) - self.compared.count(UNKNOWN)

    @property
    def identity(self) -> str:
        """What tells this text from another, as far as that may be kept; the same whether plates are kept or not."""
        if self.prints is not None:
            return self.prints.whole.hex()
        return self.kept.text if self.meter else classes(self.compared)


def _countable(digits: str, value: float | None) -> bool:
    """Whether a number may be kept: not beside a text that is no meter's, and none that no meter can show."""
    return value is not None and digits != UNKNOWN and abs(value) < 10**MOST_DIGITS


class Measured(NamedTuple):
    """Of a reading.

    Attributes:
        row: the features in the order of models.ocr.features.
        advice: what a person should know who looks at it; None where there is nothing to say.
        ask: whether a person is to be asked, since readings in a row speak against what is confirmed.
    """

    row: list[float]
    advice: str | None
    ask: bool


def measure(assets: Assets, key: bytes, event: Event, text: Text, rules: Rules) -> Measured:
    """Measure a reading against its asset, and remember it as unconfirmed.

    Args:
        key: of the asset: tenant_id|source_type|asset_id.
        event: of events.ocr, valid.
        text: of the event.
    """
    device = assets.devices[key] or UNSEEN
    confidence: float = event["confidence"]
    usual = device.usual()
    common = [confidence - usual, device.rank(confidence), device.error_rate]
    if event["source_type"] == METER:
        rest, advice, ask = _meter(assets, key, event["occurred_at"], text, device)
        risk = device.risk(text.compared)
    else:
        formed = known(text.compared, rules.countries)
        rest, advice = _plate(assets, key, event["occurred_at"], text, formed)
        rejected = 0 if formed else min(device.rejected + 1, meters.REJECTIONS + 1)
        ask = rejected == meters.REJECTIONS
        device = device._replace(rejected=rejected)
        # Which characters are confused is learned where texts may be kept alone.
        risk = device.risk(text.compared) if rules.plain else NAN
    assets.devices[key] = read_once(device, confidence)
    vehicle = 0.0 if event["source_type"] == METER else 1.0
    return Measured([confidence, vehicle, *common, risk, *rest], advice, ask)


def _meter(assets: Assets, key: bytes, time: int, text: Text, device: Device) -> tuple[list[float], str | None, bool]:
    known_of = assets.meters[key] or NEW
    value, digits = text.value, text.digits
    found = meters.judge(known_of, time, value, digits)
    leads = lead(known_of, time)
    away = NAN if value is None or leads is None else leads.deviation(value)
    better = _mend(known_of, time, text, device, away, found, leads)
    row = [
        float(text.compared.count(UNKNOWN)),
        found.backwards,
        found.ratio,
        found.digits,
        found.days,
        math.copysign(math.log1p(abs(away)), away),
        NAN if not known_of.confirmed and math.isnan(away) else float(better is not None),
        *(NAN,) * 5,
        float(found.why is not None),
    ]
    assets.meters[key], ask = seen(known_of, time, value, found)
    parts = [] if found.why is None else [f"implausible: {found.why}"]
    if better is not None:
        parts.append(f"perhaps {better}")
    return row, "; ".join(parts) or None, ask


def _mend(
    known_of: Meter, time: int, text: Text, device: Device, away: float, found: Judged, leads: Lead | None
) -> str | None:
    """The digits that a reading should perhaps have had: one character changed to a likely one, and it fits."""
    scale = _scale(text)
    if scale is None or (found.why is None and not abs(away) > MENDS):
        return None
    best, least = None, NAN if math.isnan(away) else MENDED * abs(away)
    tried = 0
    for place, char in enumerate(text.compared):
        options = "0123456789" if char == UNKNOWN else "".join(device.alternatives(char))
        for other in options:
            if not other.isdigit() or tried >= MOST_CANDIDATES:
                continue
            tried += 1
            made = text.compared[:place] + other + text.compared[place + 1 :]
            if not made.isdigit():
                continue
            value = float(made) * scale
            left = _expected(known_of, time, value) if leads is None else abs(leads.deviation(value))
            # A comparison with NaN is false.
            if left >= least or math.isnan(left) or meters.judge(known_of, time, value, len(made)).why is not None:
                continue
            best, least = made, left
    return best


def _expected(known_of: Meter, time: int, value: float) -> float:
    """Days of running between a value and where confirmed readings alone lead; NaN where these are too few."""
    own = own_rate(known_of)
    before = max((each for each in known_of.confirmed if each.time <= time), default=None)
    if own is None or before is None:
        return NAN
    return abs(value - before.value - own * (time - before.time) / DAY_MS) / own


def _scale(text: Text) -> float | None:
    """What the last digit of a meter counts; None where its digits are not those of its value."""
    if UNKNOWN in text.compared or text.value is None:
        return 1.0 if UNKNOWN in text.compared and text.value is None and len(text.compared) > 1 else None
    whole = float(text.compared or 0)
    return next((one for one in SCALES if math.isclose(whole * one, text.value, rel_tol=1e-9)), None)


def _plate(assets: Assets, key: bytes, time: int, text: Text, formed: bool) -> tuple[list[float], str | None]:
    odd = float(sum(char not in ALPHABET for char in text.compared))
    here = [NAN] * 4
    mendable, parts = NAN, [] if formed else ["implausible: no plate of the countries looks like that"]
    if text.prints is not None:
        gate = assets.gate(key)
        found = gate.look(text.prints)
        near = found.near_known or found.near_times > 2 * found.times
        here = [float(found.known), float(found.near_known), math.log1p(found.times), math.log1p(found.near_times)]
        mendable = float(near and not found.known)
        if mendable:
            parts.append("it differs in one character from a plate that comes here more often")
        gate.see(text.prints, time // DAY_MS)
    return [odd, *(NAN,) * 5, mendable, float(formed), *here, float(not formed)], "; ".join(parts) or None


class Remembered(NamedTuple):
    """What is kept of a reading until it may be corrected no more; nothing of it is personal data."""

    event_id: str
    source_id: str
    occurred_at: int
    confidence: float
    engine: str
    engine_version: str
    image_uri: str
    text: str
    fingerprints: list[str]
    value: float | None
    decided_at: int = -1
    outcome_id: str = ""

    @classmethod
    def of(cls, event: Event, text: Text) -> Self:
        names = ("event_id", "source_id", "occurred_at", "confidence", "engine", "engine_version", "image_uri")
        own = {name: event[name] for name in names}
        return cls(**own, text=text.kept.text, fingerprints=text.kept.fingerprints, value=text.value)


def verdict(source_type: str, reading: Remembered, was: Text) -> str:
    """Whether a reading was what a person says that was there: wrong, right or unsure."""
    if source_type == METER:
        same = reading.value == was.value if was.value is not None else reading.text == was.kept.text
        return RIGHT if same else WRONG
    if reading.fingerprints and was.prints is not None:
        return RIGHT if reading.fingerprints[0] == was.prints.whole.hex() else WRONG
    ours, theirs = (each.replace("-", "") for each in (reading.text, was.kept.text))
    if _plain(ours) != _plain(theirs) or (ours == theirs and not _plain(ours)):
        # One of them is a plate and one a form, or both are forms: nobody can tell without a key.
        return UNSURE
    return RIGHT if ours == theirs else WRONG


def _plain(text: str) -> bool:
    """Whether a kept text is a plate and not the classes of its characters."""
    return not set(text) <= set("A9-?")


def correct(assets: Assets, key: bytes, source_type: str, reading: Remembered, was: Text, said: str) -> None:
    """Learn what a person says of a reading, which confirms what the asset showed then.

    Args:
        said: the verdict.
    """
    device = assets.devices[key] or UNSEEN
    if said != UNSURE and reading.decided_at < 0:
        told = source_type == METER or (_plain(reading.text) and _plain(was.kept.text))
        texts = (reading.text, was.kept.text) if told else ("", "")
        assets.devices[key] = judge(device, *texts, said == WRONG)
    day = reading.occurred_at // DAY_MS
    if was.value is not None:
        shown = Shown(reading.occurred_at, was.value, was.digits)
        assets.meters[key] = confirm(assets.meters[key] or NEW, shown)
    elif was.prints is not None:
        gate = assets.gate(key)
        gate.confirm(was.prints, day)
        if said == WRONG and reading.fingerprints:
            gate.mistaken(bytes.fromhex(reading.fingerprints[0]))


NO_RULES = Rules()
"""Of a tenant that has set nothing."""


def text_of(event: Event, rules: Rules = NO_RULES, keys: Keys = NO_KEYS) -> Text:
    """The text of an event of events.ocr."""
    return Text.of(event["source_type"], event["raw_text"], event["tenant_id"], rules, keys, event["value"])


def corrected(outcome: Event, rules: Rules = NO_RULES, keys: Keys = NO_KEYS) -> Text:
    """The text of an outcome of outcomes.ocr."""
    return Text.of(outcome["source_type"], outcome["corrected_text"], outcome["tenant_id"], rules, keys)
