"""The partitioner of the Java client: murmur2 of the key, its sign bit cleared, modulo the partition count."""

from functools import lru_cache

SEED = 0x9747B28C
MULTIPLIER = 0x5BD1E995
MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """32-bit murmur2 (A. Appleby) with the seed of Kafka's Java client; 0 to 2**32 - 1."""
    length = len(data)
    h = SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * MULTIPLIER & MASK
        k = (k ^ k >> 24) * MULTIPLIER & MASK
        h = (h * MULTIPLIER & MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[whole:], "little")) * MULTIPLIER & MASK
    h = (h ^ h >> 13) * MULTIPLIER & MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, count: int) -> int:
    """Partition of a key among `count`; 0 to count - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % count
