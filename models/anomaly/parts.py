"""How the state of detectors is stored: small named parts, so that one update writes few bytes."""

from collections.abc import Callable

Read = Callable[[bytes], bytes | None]
"""Stored bytes of a part by its name; None where there are none."""

Parts = list[tuple[bytes, bytes | None]]
"""Parts by name; None deletes."""
