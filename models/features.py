"""What is said of a feature of a model."""

from typing import NamedTuple

NEVER = "never"
"""When a feature is missing that never is."""


class Feature(NamedTuple):
    """One feature.

    Attributes:
        name: unique; never reused for anything else.
        unit: of its values; "0/1" for no and yes, "share" for 0 to 1.
        doc: what it is.
        missing: when it is NaN.
    """

    name: str
    unit: str
    doc: str
    missing: str
