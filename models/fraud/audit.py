"""Which cleared check-ins a person looks at all the same: a random audit, without which nobody knows what hides there.

Chance comes from the event alone (a hash of tenant and event id), so a replay, another cut into frames or another
worker draws the same ones. How likely each was drawn stands in its prediction.
"""

import math
from functools import lru_cache

PROPENSITY, DRAWN = "audit_propensity", "audited"
"""In the `detail` of a prediction: the probability with which it was drawn, and 1 if it was."""

_DIGITS = 12


def drawn(prediction_id: str, share: float) -> bool:
    """Whether the audit draws an event, with probability `share`: by the last 48 bits of its prediction's id.

    That id is blake2b of tenant, model, slot and event id (models.identity), so nothing about the event sways it.

    >>> drawn("3f2a91c0-5b1e-4b57-95ab-000000000000", 1e-9), drawn("3f2a91c0-5b1e-4b57-95ab-ffffffffffff", 0.99)
    (True, False)
    """
    return prediction_id[-_DIGITS:] < bound(share)


@lru_cache
def bound(share: float) -> str:
    """The last 12 digits of an id that is drawn are less.

    >>> bound(0.0), bound(0.5), bound(1.0)
    ('000000000000', '800000000000', 'g')
    """
    least = math.ceil(share * 16**_DIGITS)
    return f"{least:0{_DIGITS}x}" if least < 16**_DIGITS else "g"
