"""Which cleared check-ins a person looks at all the same: a random audit, without which nobody knows what hides there.

Chance comes from the event alone (a hash of tenant and event id), so a replay, another cut into frames or another
worker draws the same ones. How likely each was drawn stands in its prediction.
"""

PROPENSITY, DRAWN = "audit_propensity", "audited"
"""In the `detail` of a prediction: the probability with which it was drawn, and 1 if it was."""

_BITS = 48


def drawn(prediction_id: str, share: float) -> bool:
    """Whether the audit draws an event, with probability `share`: by the last 48 bits of its prediction's id.

    That id is blake2b of tenant, model, slot and event id (models.identity), so nothing about the event sways it.

    >>> drawn("3f2a91c0-5b1e-4b57-95ab-000000000000", 1e-9), drawn("3f2a91c0-5b1e-4b57-95ab-ffffffffffff", 0.99)
    (True, False)
    """
    return int(prediction_id[-_BITS // 4 :], 16) < share * (1 << _BITS)
