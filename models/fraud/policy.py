"""What a tenant lets its model of fraud do: the texts of its settings and what they mean.

A certificate names the version and calibration that it was proved for, with the place where the version lies: versions
of two tenants may have the same name. For any other version or calibration it says nothing.
"""

from functools import lru_cache

from models.decisions import Cuts
from models.registry import Place
from models.registry.activation import value_of

CERTIFICATE, CUTS, AUDIT, TRAVEL = "fraud_certificate", "fraud_cuts", "fraud_audit", "fraud_travel_limit"
"""Names of the settings."""

AUDITED = 0.01
"""Share of the cleared events that a random audit looks at, where a tenant has set none."""

NONE = "none"
"""Of a certificate: there is none."""


def certificate(place: Place, version: str, calibration: str, since: float) -> str:
    """The text of a certificate of a version from a p0 on.

    Args:
        calibration: name of the calibration of its own that it was proved with; empty for the one it was trained with.

    >>> certificate(Place("fraud", "*"), "v20260401_060000", "v20260501_013000", 0.83)
    '@all/@all/v20260401_060000+v20260501_013000@0.83'
    """
    own = f"+{calibration}" if calibration else ""
    return f"{value_of(place, version)}{own}@{since}"


def certified(text: str, place: Place, version: str, calibration: str = "") -> float | None:
    """The p0 from which a certificate covers tickets of a version with a calibration; None where it covers none of it.

    >>> certified("acme/@all/v20260401_060000@0.83", Place("fraud", "acme"), "v20260401_060000")
    0.83
    """
    named, at, since = text.rpartition("@")
    about = certificate(place, version, calibration, 0.0).rpartition("@")[0]
    return float(since) if at and named == about else None


def certificate_fault(text: str) -> str | None:
    """What is wrong with a certificate of the right form; None for a good one."""
    if text == NONE or float(text.rpartition("@")[2]) <= 1.0:
        return None
    return "a certificate begins at a p0 from 0 to 1"


@lru_cache
def cuts(text: str) -> Cuts:
    """The cuts that a text MEDIUM/HIGH/CRITICAL means. Raises ValueError.

    >>> cuts("0.02/0.1/0.5")
    Cuts(medium=0.02, high=0.1, critical=0.5)
    """
    medium, high, critical = map(float, text.split("/"))
    return Cuts(medium, high, critical)


def cuts_fault(text: str) -> str | None:
    """What is wrong with cuts of the right form; None for good ones."""
    try:
        cuts(text)
    except ValueError as error:
        return str(error)
    return None
