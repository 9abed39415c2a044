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
    '95 where 18 to 26 is usual at 16:00 UTC; the nearest value seen before is 24; 71 times its largest surprise so far'
    """
    low, expected, high = usual
    range_ = f"{low:.4g} to {high:.4g}" if f"{low:.4g}" != f"{high:.4g}" else f"{expected:.4g}"
    text = f"{judged:.4g} where {range_} is usual at {hour:02d}:00 UTC"
    if name == "value" and nearest is not None:
        text += f"; the nearest value seen before is {nearest:.4g}"
    elif name == "context":
        text += "; known, but not among values like those of the last hour"
    elif name == "season":
        text += "; it has been off for some time"
    if part.record <= 0.0:
        return f"{text}; nothing had ever changed before"
    return f"{text}; {part.surprise / part.record:.2g} times its largest surprise so far"
