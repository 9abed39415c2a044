"""Which cleared check-ins a person looks at all the same: a random audit, without which nobody knows what hides there.

Chance comes from the event alone (a hash of tenant and event id), so a replay, another cut into frames or another
worker draws the same ones. How likely each was drawn stands in its prediction.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PROPENSITY, DRAWN = "audit_propensity", "audited"
"""In the `detail` of a prediction: the probability with which it was drawn, and 1 if it was."""

_DIGITS = 12
_PLACES = 256.0 ** -np.arange(1, _DIGITS // 2 + 1)
"""What each byte counts; sums of 48 bits are exact."""


def chances(prediction_ids: Sequence[str]) -> NDArray[np.float64]:
    """A number for each event, (ids,), 0 to below 1: the audit draws it where its share is larger.

    It is the last 48 bits of the prediction's id, which is blake2b of tenant, model, slot and event id
    (models.identity): nothing about the event sways it.

    >>> chances(["3f2a91c0-5b1e-4b57-95ab-000000000000", "3f2a91c0-5b1e-4b57-95ab-c00000000000"]).tolist()
    [0.0, 0.75]
    """
    digits = "".join([each[-_DIGITS:] for each in prediction_ids])
    raw = np.frombuffer(bytes.fromhex(digits), dtype=np.uint8).reshape(-1, len(_PLACES))
    found: NDArray[np.float64] = raw @ _PLACES
    return found
