"""How the state of detectors is stored: small named parts, so that one update writes few bytes."""

from collections.abc import Callable

Read = Callable[[bytes], bytes | None]
"""Stored bytes of a part by its name; None where there are none."""

Parts = list[tuple[bytes, bytes | None]]
"""Parts by name; None deletes."""


def within(place: bytes, read: Read) -> Read:
    """What is stored under this beginning of the names."""
    return lambda part: read(place + part)


def under(place: bytes, parts: Parts) -> Parts:
    """The parts with this beginning put before their names."""
    return [(place + part, raw) for part, raw in parts]


def nothing(part: bytes) -> None:
    """What is stored of a series that is seen for the first time."""
