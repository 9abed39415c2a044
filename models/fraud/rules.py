"""Hard rules: what a person must see, whatever a model says of it. They raise a risk and never lower one."""

import numpy as np

from models.decisions import HIGH, LOW, Codes, Flags, Floats
from models.fraud.features import PLACE

TRAVEL_KMH = 900.0
"""An airliner cruises at 800 to 900 km/h, and nobody is at a site the minute he lands."""

ACCURACY_M = 100.0
"""A fix that its device believes less than this proves no travel."""

LIMIT = "travel_limit_kmh"
"""In the `detail` of a prediction whose travel is impossible: the limit that was in force."""

_SPEED, _ACCURACY = PLACE["travel_speed_kmh"], PLACE["gps_accuracy_m"]


def impossible_travel(vectors: Floats, limit: Floats | float = TRAVEL_KMH) -> Flags:
    """Rows of vectors (rows, all features) whose person cannot have come from the fix before, faster than `limit` km/h,
    one for all rows or one of each.

    The speed is what is left when the metres that both fixes are unsure of are taken off. Where it or the accuracy is
    not known, nothing is proved.
    """
    # NaN passes neither comparison.
    return (vectors[:, _SPEED] > limit) & (vectors[:, _ACCURACY] <= ACCURACY_M)


def demanded(travelled: Flags) -> Codes:
    """The least risk of each row, (rows,): whose travel is impossible goes to a person."""
    return np.where(travelled, HIGH, LOW).astype(np.int8)


def advice(vector: Floats, limit: float) -> str:
    """What there is to look at in an event whose travel is impossible."""
    return f"impossible travel: {vector[_SPEED]:,.0f} km/h since the fix before, over {limit:,.0f} km/h"
