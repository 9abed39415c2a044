"""The partitioner of the Java client: murmur2 of the key without its sign bit, modulo the partition count."""

from functools import lru_cache

from schemas.compiled import COMPILED

SEED = 0x9747B28C
MULTIPLIER = 0x5BD1E995
MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """32-bit murmur2 (A. Appleby) with the seed of Kafka's Java client; 0 to 2**32 - 1."""
    length = len(key)
    whole = length & ~3
    h = SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * MULTIPLIER & MASK
        h = (h * MULTIPLIER & MASK) ^ ((k ^ k >> 24) * MULTIPLIER & MASK)
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * MULTIPLIER & MASK
    h = (h ^ h >> 13) * MULTIPLIER & MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def plain_partition_of(key: bytes, count: int) -> int:
    """Partition of a key among `count`; 0 to count - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % count


partition_of = COMPILED.partition_of if COMPILED else plain_partition_of
