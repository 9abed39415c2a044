"""Why a sample got its score: numbers ready for a sentence, and the sentence."""

from dataclasses import dataclass
from typing import Any

PARTS = ("value", "context", "season")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three surprises.

    Attributes:
        surprise: in the unit of the series.
        record: the largest surprise before, fading; in the unit of the series.
        log: of their ratio, between record.LOW and record.HIGH.
    """

    surprise: float
    record: float
    log: float


def explanation(
    value: float,
    judged: float,
    usual: tuple[float, float, float],
    nearest: float | None,
    hour: int,
    parts: dict[str, Part],
    score: float,
) -> dict[str, Any]:
    """What `Novelty.explain` returns; usual: (low, expected, high)."""
    low, expected, high = usual
    strongest = max(PARTS, key=lambda name: parts[name].log)
    return {
        "score": score,
        "value": value,
        "judged": judged,
        "expected": expected,
        "usual_low": low,
        "usual_high": high,
        "nearest": nearest,
        "direction": "up" if judged >= expected else "down",
        "strongest": strongest,
        "parts": {
            name: {"surprise": part.surprise, "record": part.record, "log": part.log} for name, part in parts.items()
        },
        "summary": sentence(judged, usual, nearest, hour, strongest, parts[strongest]),
    }


def sentence(
    judged: float, usual: tuple[float, float, float], nearest: float | None, hour: int, name: str, part: Part
) -> str:
    """One sentence about the strongest of the parts.

    >>> sentence(95.0, (18.0, 22.0, 26.0), 24.0, 16, "value", Part(71.0, 1.0, 2.0))
    '95, usual 18 to 26 at 16:00 UTC: nothing nearer than 24 was seen before; 71 times the record'
    """
    low, expected, high = (short(each) for each in usual)
    text = f"{short(judged)}, usual {expected if low == high else f'{low} to {high}'} at {hour:02d}:00 UTC"
    if part.record <= 0.0:
        return f"{text}: it had never changed before"
    if name == "season":
        text += ": off what is usual for some time"
    elif name == "value" and nearest is not None:
        text += f": nothing nearer than {short(nearest)} was seen before"
    else:
        text += ": not seen before after an hour like this one"
    return f"{text}; {part.surprise / part.record:.2g} times the record"


def short(value: float) -> str:
    """Four digits that matter, thousands separated, no exponent in ordinary ranges.

    >>> short(2271640.0), short(95.349), short(0.00123456), short(-3.2e16)
    ('2,271,640', '95.35', '0.001235', '-3.2e+16')
    """
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
