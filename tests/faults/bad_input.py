"""Records that no well-behaved producer sends. Each kind names the reason by which it must be refused."""

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

from schemas import topics
from tests.faults.samples import Fleet, Message
from tests.faults.topology import POISON

BIG = (900_000, 1_040_000, 3_000_000, 10_000_000)
"""Bytes of the big records: around the clients' default limits of 1 MB, and ten times that."""


def _valid(fleet: Fleet) -> dict[str, Any]:
    """A good sample of a host that only bad records speak of, so that no neighbour's baseline moves."""
    sample = fleet.sample(fleet.random.choice(fleet.hosts))
    return {**sample, "host": f"bad-{fleet.random.randrange(64)}", "event_id": f"bad-{sample['event_id']}"}


def _encoded(sample: dict[str, Any]) -> bytes:
    return topics.EVENTS_METRICS.codec.encode(sample)


def _key(sample: dict[str, Any]) -> bytes:
    return topics.EVENTS_METRICS.key_of(sample)


def truncated(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    value = _encoded(sample)
    return _key(sample), value[: fleet.random.randrange(1, len(value))]


def flipped(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    """One to eight bits turned. May by chance still be a good record: the offline driver says which."""
    sample = _valid(fleet)
    value = bytearray(_encoded(sample))
    for _ in range(fleet.random.randrange(1, 9)):
        value[fleet.random.randrange(len(value))] ^= 1 << fleet.random.randrange(8)
    return _key(sample), bytes(value)


def noise(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    return _key(sample), fleet.random.randbytes(fleet.random.randrange(400))


def unknown_fingerprint(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    value = _encoded(sample)
    return _key(sample), value[:2] + fleet.random.randbytes(8) + value[10:]


def wrong_schema(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    """A good record of another topic."""
    letter: dict[str, Any] = {
        "tenant_id": None,
        "source_topic": "events.metrics",
        "source_partition": 0,
        "source_offset": fleet.count,
        "source_timestamp": 0,
        "agent": "metrics",
        "error_class": "None",
        "message": "lost its way",
        "key": None,
        "value": None,
        "headers": [],
    }
    return _key(_valid(fleet)), topics.DEAD_LETTERS.codec.encode(letter)


def json_text(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    return _key(sample), json.dumps(sample).encode()


def huge(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    return _key(sample), _encoded(sample)[:10] + fleet.random.randbytes(fleet.random.choice(BIG))


def not_a_number(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    """NaN or an infinity put into the encoded bytes, as a careless producer's library would."""
    odd = fleet.random.choice((math.nan, math.inf, -math.inf))
    sample = {**_valid(fleet), "cpu_percent": 12345.678}
    return _key(sample), _encoded(sample).replace(struct.pack("<d", 12345.678), struct.pack("<d", odd))


def long_ago(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = {**_valid(fleet), "occurred_at": fleet.random.randrange(86_400_000)}
    return _key(sample), _encoded(sample)


def far_ahead(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = {**_valid(fleet), "occurred_at": 4_102_444_800_000 + fleet.random.randrange(86_400_000)}
    return _key(sample), _encoded(sample)


def empty_key(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    return b"", _encoded(_valid(fleet))


def no_key(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    return None, _encoded(_valid(fleet))


def foreign_tenant(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = _valid(fleet)
    return _key({**sample, "tenant_id": "mallory"}), _encoded(sample)


def bad_tenant(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    """A tenant name that would make the key of another tenant's host."""
    sample = {**_valid(fleet), "tenant_id": "acme|globex"}
    return _key(sample), _encoded(sample)


def not_utf8(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    sample = {**_valid(fleet), "event_id": "QQQQQQQQ"}
    return _key(sample), _encoded(sample).replace(b"QQQQQQQQ", b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf5")


def poison(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    """A good sample over which the fault tests' own agent raises; for the product it is one host more."""
    sample = {**_valid(fleet), "host": POISON}
    return _key(sample), _encoded(sample)


def no_value(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    return _key(_valid(fleet)), None


def empty_value(fleet: Fleet) -> tuple[bytes | None, bytes | None]:
    return _key(_valid(fleet)), b""


KINDS: dict[str, Callable[[Fleet], tuple[bytes | None, bytes | None]]] = {
    kind.__name__: kind
    for kind in (
        truncated,
        flipped,
        noise,
        unknown_fingerprint,
        wrong_schema,
        json_text,
        huge,
        not_a_number,
        long_ago,
        far_ahead,
        empty_key,
        no_key,
        foreign_tenant,
        bad_tenant,
        not_utf8,
        poison,
        no_value,
        empty_value,
    )
}
LUCKY = frozenset({"flipped", "poison"})
"""Kinds that may still be good records."""


def mixture(seed: int, count: int, big: int = 40) -> list[str]:
    """Kinds of `count` bad records, half of them bit-flipped or truncated, `big` of them huge."""
    draw = random.Random(seed)
    rest = [kind for kind in KINDS if kind != "huge"]
    kinds = ["huge"] * min(big, count // 10)
    while len(kinds) < count:
        kinds.append(draw.choice(("flipped", "truncated")) if draw.random() < 0.5 else draw.choice(rest))
    draw.shuffle(kinds)
    return kinds


def message(kind: str, fleet: Fleet) -> Message:
    key, value = KINDS[kind](fleet)
    return Message(kind, key, value)
