"""Sealed dead letters: nothing of them is readable without the secret, and with it they are whole."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.topics import CATALOGUE, DEAD_LETTERS
from sinks.tables import ROUTES
from streams.ocr import agent
from streams.runtime import Agent, Frame, PoisonFloodError
from streams.runtime.frame import InputRecord
from streams.runtime.letters import WITHHELD
from streams.runtime.offline import run
from streams.sealing import BOUND, MARK, NO_SEALER, SealedError, Sealer
from streams.topology import agents
from tests.streams.test_ocr import NOON, correction, event
from watchfloor.dead_letters import Letter, NotReplayable, mended

OLD, NEW = b"o" * 32, b"n" * 32
SEALER = Sealer([NEW])
SECRETIVE = "Jane Doe +49 171 2345678"


def letter(**other: Any) -> dict[str, Any]:
    return {
        "source_topic": "events.ocr", "source_partition": 1, "source_offset": 42, "source_timestamp": NOON,
        "agent": "ocr", "error_class": "InvalidEvent", "message": f"not {SECRETIVE}",
        "key": b"acme|meter_reading|m-1", "value": SECRETIVE.encode(),
        "headers": [{"name": SECRETIVE, "value": SECRETIVE.encode()}], "tenant_id": "acme",
    } | other  # fmt: skip


@given(
    st.one_of(st.none(), st.binary()),
    st.one_of(st.none(), st.binary()),
    st.lists(st.tuples(st.text(), st.one_of(st.none(), st.binary()))),
    st.text(),
)
def test_what_was_sealed_opens_whole_and_is_the_same_each_time(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]], message: str
) -> None:
    given = letter(
        key=key, value=value, message=message, headers=[{"name": name, "value": each} for name, each in headers]
    )
    sealed = SEALER.seal(given)
    assert DEAD_LETTERS.codec.encode(sealed) == DEAD_LETTERS.codec.encode(Sealer([NEW]).seal(dict(given)))
    assert SEALER.open(sealed) == given
    assert SEALER.open(DEAD_LETTERS.codec.decode(DEAD_LETTERS.codec.encode(sealed))) == given
    assert (sealed["key"], sealed["headers"]) == (None, [])


def test_a_sealed_letter_says_where_and_why_and_nothing_else() -> None:
    sealed = SEALER.seal(letter())
    kept = {name: sealed[name] for name in BOUND}
    assert kept == {name: letter()[name] for name in BOUND}
    raw = DEAD_LETTERS.codec.encode(sealed)
    for planted in ("Jane", "2345678", base64.b64encode(SECRETIVE.encode()).decode()[:12], SECRETIVE.encode().hex()):
        assert planted.encode() not in raw


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        (b"acme|meter_reading|m-1", "acme"),
        (b"Jane Doe|meter_reading|m-1", None),
        (b"+49 171 2345678|x", None),
        (b"4917123456", None),
        (b"\xff|x", None),
        (b"", None),
        (None, None),
    ],
)
def test_only_what_is_a_tenant_is_said_to_be_one(key: bytes | None, tenant: str | None) -> None:
    assert SEALER.seal(letter(key=key))["tenant_id"] == tenant


def test_two_letters_of_the_same_content_have_nothing_in_common() -> None:
    first, second = (SEALER.seal(letter(source_offset=offset))["value"] for offset in (1, 2))
    place = len(MARK) + 17
    assert first[:place] == second[:place]
    alike = sum(one == other for one, other in zip(first[place:], second[place:], strict=True))
    assert alike < 0.05 * len(first)


@pytest.mark.parametrize("field", BOUND)
def test_it_does_not_open_in_another_place(field: str) -> None:
    sealed = SEALER.seal(letter())
    moved = sealed | {field: sealed[field] + 1 if isinstance(sealed[field], int) else "other"}
    with pytest.raises(SealedError, match="belongs to another place"):
        SEALER.open(moved)


def test_it_does_not_open_changed_or_cut() -> None:
    sealed = SEALER.seal(letter())
    value = sealed["value"]
    spoilt = [value[:-1] + bytes([value[-1] ^ 1]), value[:-1], value[: len(MARK) + 20], MARK + b"?", MARK]
    for each in spoilt:
        with pytest.raises(SealedError):
            SEALER.open(sealed | {"value": each})


def test_a_secret_is_changed_and_older_letters_still_open() -> None:
    before = Sealer([OLD]).seal(letter())
    changed = Sealer([NEW, OLD])
    assert changed.open(before) == letter()
    assert changed.seal(letter()) == SEALER.seal(letter()) != before
    name = before["value"].split(b":")[2].decode()
    own = SEALER.seal(letter())["value"].split(b":")[2].decode()
    with pytest.raises(SealedError, match=f"sealed under key {name}, and the secrets that are set have {own}"):
        SEALER.open(before)
    with pytest.raises(SealedError, match="no secret is set"):
        NO_SEALER.open(before)
    with pytest.raises(ValueError, match="at least 32 bytes, not 5"):
        Sealer([b"short"])


def refused() -> list[InputRecord]:
    """Records that the agent refuses, each for a reason of its own, and good ones between them."""
    good = event("e-1", "12345")
    outcome = correction("unknown", SECRETIVE, NOON)
    ocr, outcomes = topics.EVENTS_OCR, topics.OUTCOMES_OCR
    rows = [
        (ocr, ocr.key_of(good), ocr.codec.encode(good)),
        (ocr, SECRETIVE.encode(), ocr.codec.encode(event("e-2", SECRETIVE))),
        (ocr, b"acme|meter_reading|a-1", SECRETIVE.encode()),
        (ocr, b"acme|meter_reading|a-1", None),
        (ocr, b"acme|meter_reading|a-1", ocr.codec.encode(event("e-3", SECRETIVE, confidence=2.0))),
        (ocr, b"acme|meter_reading|a-1", ocr.codec.encode(event("e-1", SECRETIVE))),
        (ocr, b"acme|meter_reading|a-1", ocr.codec.encode(event("e-4", SECRETIVE, at=NOON + 3_600_000))),
        (outcomes, outcomes.key_of(outcome), outcomes.codec.encode(outcome)),
        (ocr, ocr.key_of(good), ocr.codec.encode(event("e-5", "12346"))),
    ]
    headers = (("trace", SECRETIVE.encode()),)
    return [
        InputRecord(key, value, NOON + number, number, headers, topic.name)
        for number, (topic, key, value) in enumerate(rows)
    ]


@pytest.mark.parametrize("cut", [1, 2, 9])
def test_what_the_agent_refuses_is_sealed_however_frames_are_cut(cut: int) -> None:
    of = replace(agent(), seal=SEALER.seal)
    rows = run(of, refused(), cuts=lambda: cut).topic(DEAD_LETTERS.name)
    assert rows == run(of, refused()).topic(DEAD_LETTERS.name)
    assert {key for key, _ in rows} == {None}
    sealed = [DEAD_LETTERS.codec.decode(value or b"") for _, value in rows]
    classes = "KeyMismatch DecodeError EmptyValue InvalidEvent ConflictingEvent EventFromTheFuture NoSuchReading"
    assert [each["error_class"] for each in sealed] == classes.split()
    assert not [value for _, value in rows if b"Jane" in (value or b"")]
    given = refused()
    for each in map(SEALER.open, sealed):
        source = given[each["source_offset"]]
        assert (each["source_topic"], each["key"], each["value"]) == (source.topic, source.key, source.value)
        assert [(one["name"], one["value"]) for one in each["headers"]] == list(source.headers)
    assert "Jane Doe" in SEALER.open(sealed[0])["message"]


def test_without_a_secret_nothing_of_it_is_kept_and_that_is_said() -> None:
    rows = run(agent(), refused()).topic(DEAD_LETTERS.name)
    found = [DEAD_LETTERS.codec.decode(value or b"") for _, value in rows]
    assert len(found) == 7
    for each in found:
        assert (each["key"], each["value"], each["headers"], each["tenant_id"]) == (None, None, [], None)
        assert each["message"] == WITHHELD
        with pytest.raises(NotReplayable, match="was not kept, because no secret was set"):
            mended(Letter(0, 0, NOON, each), "")


def raising(frame: Frame) -> None:
    for one in frame.decode():
        raise ValueError(one["raw_text"])


def test_a_bug_that_quotes_a_text_is_told_without_it() -> None:
    bad = [
        InputRecord(topics.EVENTS_OCR.key_of(one), topics.EVENTS_OCR.codec.encode(one), NOON, number)
        for number, one in enumerate(event(f"e-{n}", SECRETIVE) for n in range(30))
    ]
    of = Agent(name="buggy", inputs=(topics.EVENTS_OCR,), outputs=(), process=raising)
    with pytest.raises(PoisonFloodError) as caught:
        run(of, bad)
    assert "the last with ValueError" in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_agent_that_reads_personal_data_seals_and_none_passes_them_on() -> None:
    personal = {topic.name for topic in CATALOGUE.values() if topic.personal}
    assert personal == {"events.ocr", "outcomes.ocr"}
    assert not personal & {route.topic.name for route in ROUTES}
    read = set()
    for each in agents(sealer=SEALER):
        assert not personal & {topic.name for topic in each.outputs}
        if each.personal:
            read |= {topic.name for topic in each.inputs}
            assert each.seal == SEALER.seal
    assert read == personal
