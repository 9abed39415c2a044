"""The catalogue: every topic's records, keys and codecs."""

import random
import struct
from typing import Any

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from schemas import generate, murmur2, topics, versions, walk
from schemas.avro import DecodeError, EncodeError, Node, UnknownFingerprint
from schemas.codec import MARKER
from schemas.compiled import COMPILED
from schemas.parse import parse, rabin
from schemas.topics import CATALOGUE, Topic
from tests.schemas.samples import SAMPLES

ALL = [pytest.param(topic, id=topic.name) for topic in CATALOGUE.values()]
FUZZED = 10_000


@pytest.mark.parametrize("topic", ALL)
def test_schema_has_what_the_topic_says(topic: Topic) -> None:
    fields = {field["name"]: field["type"] for field in versions.current(topic.schema)["fields"]}
    assert "tenant_id" in fields
    assert topic.time in fields
    assert {topic.id} - {None} <= fields.keys()
    assert set(topic.key or ()) <= fields.keys()


@pytest.mark.parametrize("topic", ALL)
def test_every_field_says_what_it_is(topic: Topic) -> None:
    def fields(part: Any) -> list[Any]:
        if isinstance(part, list):
            return [field for each in part for field in fields(each)]
        if not isinstance(part, dict):
            return []
        below = [field for key in ("type", "items", "values", "fields") for field in fields(part.get(key))]
        return [part, *below] if "name" in part else below

    schema = versions.current(topic.schema)
    assert schema["namespace"] == "watchfloor"
    undocumented = [field["name"] for field in fields(schema) if not field.get("doc", "").endswith(".")]
    assert not undocumented


@pytest.mark.parametrize("topic", ALL)
def test_records_come_back_whole(topic: Topic) -> None:
    record = SAMPLES[topic.name]
    raw = topic.codec.encode(record)
    assert raw.startswith(MARKER + rabin(versions.current(topic.schema)))
    assert topic.codec.decode(raw) == record


def test_fingerprint_is_that_of_the_specification() -> None:
    # The Rabin fingerprint of "int" is 0x7275d51a3f395c8f; single-object encoding has the lowest byte first.
    assert rabin("int") == bytes.fromhex("8f5c393f1ad57572")


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        (topics.EVENTS_METRICS, b"acme|web-1"),
        (topics.EVENTS_ATTENDANCE, b"acme|p-1"),
        (topics.ATTENDANCE_BY_DEVICE, b"acme|d-1"),
        (topics.ATTENDANCE_ENRICHED, b"acme|p-1"),
        (topics.OUTCOMES_ATTENDANCE, b"acme|p-1"),
        (topics.EVENTS_OCR, b"acme|vehicle_entry|gate-2"),
        (topics.OUTCOMES_OCR, b"acme|vehicle_entry|gate-2"),
        (topics.OCR_READINGS, b"acme"),
        (topics.OCR_CAPTURES, b"acme|vehicle_entry|gate-2"),
        (topics.OCR_VERDICTS, b"acme|vehicle_entry|gate-2"),
        (topics.OCR_LABELING_TASKS, b"acme|vehicle_entry|gate-2"),
        (topics.CONTROL_SITES, b"acme|berlin-1"),
        (topics.CONTROL_CALENDARS, b"acme"),
        (topics.CONTROL_ROSTERS, b"acme|p-1"),
        (topics.PREDICTIONS_ANOMALY, b"acme|web-1"),
        (topics.PREDICTIONS_FRAUD, b"acme|web-1"),
        (topics.ALERTS_CANDIDATES, b"acme"),
        (topics.ALERTS, b"acme"),
        (topics.DEAD_LETTERS, b"acme|web-1"),
        (topics.CONTROL_COMMANDS, b"acme|observe_only"),
        (topics.CONTROL_FLAGS, b"acme|observe_only|3"),
        (topics.CONTROL_THRESHOLDS, b"acme|alert_budget|3"),
        (topics.CONTROL_AUDIT, b"acme|observe_only"),
    ],
)
def test_keys(topic: Topic, key: bytes) -> None:
    assert topic.key_of(SAMPLES[topic.name]) == key


def test_dead_letter_without_key() -> None:
    assert topics.DEAD_LETTERS.key_of({**SAMPLES["dead-letters"], "key": None}) == b""


# From the tests of the Java client (UtilsTest.testMurmur2), as signed 32-bit numbers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
PARTITIONERS = [pytest.param(murmur2.plain_partition_of, id="plain")]
if COMPILED:
    PARTITIONERS.append(pytest.param(COMPILED.partition_of, id="compiled"))


def test_murmur2_vectors_of_the_java_client() -> None:
    for key, expected in JAVA.items():
        assert struct.unpack("<i", struct.pack("<I", murmur2.murmur2(key))) == (expected,)


@pytest.mark.parametrize("partition_of", PARTITIONERS)
def test_partitioner_equals_aiokafka(partition_of: Any) -> None:
    r = random.Random(1)
    for count in (1, 2, 3, 24, 4096):
        for length in range(200):
            key = r.randbytes(length)
            assert partition_of(key, count) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % count


def codecs(topic: Topic) -> list[Any]:
    """Plain and compiled codec of a topic, without what reads older versions."""

    def refuse(raw: bytes) -> Any:
        raise DecodeError("another header")

    schema = versions.current(topic.schema)
    header = MARKER + rabin(schema)
    makers = [generate.Codec, COMPILED.Codec] if COMPILED else [generate.Codec]
    return [make(parse(schema), header, refuse) for make in makers]


def damage(r: random.Random, raw: bytes) -> bytes:
    """Cut off, prolonged, with flipped bits or other bytes, or with a part doubled."""
    at = r.randrange(len(raw))
    match r.randrange(5):
        case 0:
            return raw[:at]
        case 1:
            return raw + r.randbytes(r.randint(1, 20))
        case 2:
            return raw[:at] + bytes((raw[at] ^ 1 << r.randrange(8),)) + raw[at + 1 :]
        case 3:
            return raw[:at] + r.randbytes(r.randint(1, 12)) + raw[at + r.randint(0, 12) :]
        case _:
            return raw[:at] + raw[at // 2 :]


@pytest.mark.parametrize("topic", ALL)
def test_fuzzed_records_are_errors_or_records(topic: Topic) -> None:
    """10,000 damaged records: each is refused with a reason or is a record; plain and compiled agree on which."""
    r = random.Random(topic.name)
    node: Node = parse(versions.current(topic.schema))
    both, whole = codecs(topic), topic.codec.encode(SAMPLES[topic.name])
    refused = 0
    for _ in range(FUZZED // len(ALL)):
        raw = damage(r, whole)
        results = []
        for codec in both:
            (found,) = codec.decode_many([raw])
            results.append(found.reason if isinstance(found, DecodeError) else walk.encode(node, found))
        assert all(result == results[0] for result in results)
        refused += isinstance(results[0], str)
    assert refused > FUZZED // len(ALL) // 2


@pytest.mark.parametrize("topic", ALL)
def test_not_a_record_of_the_topic(topic: Topic) -> None:
    raw = topic.codec.encode(SAMPLES[topic.name])
    with pytest.raises(UnknownFingerprint, match="3132333435363738") as caught:
        topic.codec.decode(MARKER + b"12345678" + raw[10:])
    assert caught.value.fingerprint == "3132333435363738"
    for other in (b"", raw[:9], b"\0\0\0\0\x05" + raw[10:], b'{"tenant_id": "acme"}'):
        with pytest.raises(DecodeError, match="expected single-object Avro"):
            topic.codec.decode(other)


def test_ten_megabytes() -> None:
    codec = topics.DEAD_LETTERS.codec
    record = {**SAMPLES["dead-letters"], "value": bytes(10 << 20)}
    assert codec.decode(codec.encode(record)) == record
    with pytest.raises(EncodeError, match=r"DeadLetter\.value: expected null or bytes"):
        codec.encode({**record, "value": "x" * (10 << 20)})
