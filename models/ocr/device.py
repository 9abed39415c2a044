"""What is remembered of how well an asset is read: its confidences, what people said, which characters are confused.

It is immutable and packs into under 400 bytes.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

CONFIDENCES = 32
"""Confidences remembered, in steps of 1 / STEPS."""
STEPS = 255
LEAST_CONFIDENCES = 8
"""Before there are so many, nothing is usual."""

PRIOR_WRONG, PRIOR_WEIGHT = 0.05, 10
"""What the share of wrong readings is taken for before much is known, and how many readings that weighs."""
PRIOR_CONFUSED = 0.01
"""The same of a character that is confused; it weighs PRIOR_WEIGHT characters."""
MOST_JUDGED = 200
"""Beyond so many judged readings all counts are halved, so what is newer weighs more."""
MOST_PAIRS = 32
"""Pairs of confused characters remembered; the rarest are forgotten."""

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
GENERIC: Mapping[str, str] = {
    "0": "8O", "1": "7I", "3": "8", "5": "6", "6": "5", "7": "1", "8": "3B", "O": "0", "I": "1", "B": "8",
    "D": "0", "Q": "0", "L": "1", "Z": "2", "S": "5", "G": "6",
}  # fmt: skip
"""Characters and what they may be instead, on any device; the first is what is likeliest."""

_HEAD = struct.Struct("<HHBBB")
_PAIR = struct.Struct("<ccH")
_TOTAL = struct.Struct("<cH")


class Device(NamedTuple):
    """Of one asset.

    Attributes:
        judged, wrong: readings that people judged, and those of them that were wrong.
        rejected: readings in a row whose form is implausible; of plates.
        confidences: of the last readings, a byte each, the newest last.
        totals: how often each character was read in judged readings.
        confused: (character read, character that was there): how often.
    """

    judged: int = 0
    wrong: int = 0
    rejected: int = 0
    confidences: bytes = b""
    totals: tuple[tuple[str, int], ...] = ()
    confused: tuple[tuple[tuple[str, str], int], ...] = ()

    def pack(self) -> bytes:
        head = _HEAD.pack(self.judged, self.wrong, self.rejected, len(self.confidences), len(self.totals))
        totals = b"".join(_TOTAL.pack(char.encode(), count) for char, count in self.totals)
        pairs = b"".join(_PAIR.pack(read.encode(), was.encode(), count) for (read, was), count in self.confused)
        return head + self.confidences + totals + pairs

    @property
    def error_rate(self) -> float:
        """Share of wrong readings among the judged ones, smoothed; NaN before the first."""
        return _smooth(self.wrong, self.judged, PRIOR_WRONG) if self.judged else math.nan

    def usual(self) -> float:
        """Median of the last confidences; NaN before there are LEAST_CONFIDENCES."""
        known = sorted(self.confidences)
        if len(known) < LEAST_CONFIDENCES:
            return math.nan
        middle = len(known) // 2
        return (known[middle] + known[-1 - middle]) / 2 / STEPS

    def rank(self, confidence: float) -> float:
        """Share of the last confidences that are not higher; NaN before there are LEAST_CONFIDENCES."""
        if len(self.confidences) < LEAST_CONFIDENCES:
            return math.nan
        own = _step(confidence)
        return sum(each <= own for each in self.confidences) / len(self.confidences)

    def risk(self, text: str) -> float:
        """Probability that any character of a text was confused, by this device's past; NaN before the first judged."""
        if not self.judged:
            return math.nan
        totals = dict(self.totals)
        confused: dict[str, int] = {}
        for (read, _), count in self.confused:
            confused[read] = confused.get(read, 0) + count
        right = 1.0
        for char in text:
            if char in totals:
                right *= 1.0 - _smooth(confused.get(char, 0), totals[char], PRIOR_CONFUSED)
            elif char in ALPHABET:
                right *= 1.0 - PRIOR_CONFUSED
        return 1.0 - right

    def alternatives(self, char: str) -> list[str]:
        """What a character may be instead: what this device confuses it with, most often first, then what all do."""
        own = sorted(
            ((count, was) for (read, was), count in self.confused if read == char), key=lambda it: (-it[0], it[1])
        )
        return list(dict.fromkeys([*(was for _, was in own), *GENERIC.get(char, "")]))


UNSEEN = Device()


def unpack_device(raw: bytes) -> Device:
    judged, wrong, rejected, confidences, totals = _HEAD.unpack_from(raw)
    place = _HEAD.size + confidences
    end = place + totals * _TOTAL.size
    return Device(
        judged,
        wrong,
        rejected,
        raw[_HEAD.size : place],
        tuple((char.decode(), count) for char, count in _TOTAL.iter_unpack(raw[place:end])),
        tuple(((read.decode(), was.decode()), count) for read, was, count in _PAIR.iter_unpack(raw[end:])),
    )


def read_once(device: Device, confidence: float) -> Device:
    """The device after a reading."""
    return device._replace(confidences=(device.confidences + bytes((_step(confidence),)))[-CONFIDENCES:])


def judge(device: Device, read: str, was: str, wrong: bool) -> Device:
    """The device after a person said what a text was. Characters of ALPHABET alone are compared.

    Characters are counted where both texts have the same length: otherwise nobody knows which became which.
    """
    totals, confused = dict(device.totals), dict(device.confused)
    judged, failed = device.judged + 1, device.wrong + wrong
    if len(read) == len(was):
        for one, other in zip(read, was, strict=True):
            if one in ALPHABET and other in ALPHABET:
                totals[one] = totals.get(one, 0) + 1
                if one != other:
                    confused[one, other] = confused.get((one, other), 0) + 1
    if judged > MOST_JUDGED:
        judged, failed = judged // 2, failed // 2
        totals = {char: (count + 1) // 2 for char, count in totals.items()}
        confused = {pair: count // 2 for pair, count in confused.items() if count > 1}
    most = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:MOST_PAIRS]
    return device._replace(
        judged=judged, wrong=failed, rejected=0, totals=tuple(sorted(totals.items())), confused=tuple(sorted(most))
    )


def _smooth(cases: int, of: int, prior: float) -> float:
    return (cases + prior * PRIOR_WEIGHT) / (of + PRIOR_WEIGHT)


def _step(confidence: float) -> int:
    return round(confidence * STEPS)


def median(values: Iterable[float]) -> float:
    """Of at least one value."""
    known = sorted(values)
    middle = len(known) // 2
    return (known[middle] + known[-1 - middle]) / 2


def rates(points: Iterable[tuple[float, float]]) -> list[float]:
    """Steps of a value per unit of time, between one point (time, value) and the next."""
    return [
        (after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(points) if after[0] > before[0]
    ]
