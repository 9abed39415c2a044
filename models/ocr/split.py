"""Which part of a data set the images of an asset belong to."""

from hashlib import blake2b

SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
"""Names and shares of the parts."""


def split(tenant: str, source_type: str, asset_id: str) -> str:
    """The part of an asset's images, by a hash of its name: for good, and of all of them the same.

    An engine that has seen a meter is not to be measured by that meter.
    """
    name = "|".join((tenant, source_type, asset_id)).encode()
    share = int.from_bytes(blake2b(name, digest_size=8, person=b"ocr.split").digest(), "big") / 2**64
    for part, size in SPLITS[:-1]:
        if share < size:
            return part
        share -= size
    return SPLITS[-1][0]
