"""Encoding and decoding of records: Avro, and for topics Avro's single-object encoding.

Each codec is made for its schema: in C where schemas._compiled was built, else as generated Python. Both give the
same bytes, values and errors. WATCHFLOOR_PURE=1 forces Python.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from io import BytesIO
from typing import Any, Protocol

import fastavro
from fastavro.read import SchemaResolutionError

from schemas import generate, versions
from schemas.avro import DecodeError, EncodeError, SchemaError, UnknownFingerprint
from schemas.columns import Column
from schemas.compiled import COMPILED
from schemas.parse import parse, rabin, stored

__all__ = [
    "IMPLEMENTATION",
    "Codec",
    "DecodeError",
    "EncodeError",
    "SchemaError",
    "UnknownFingerprint",
    "codec_for",
    "topic_codec",
]

MARKER = b"\xc3\x01"
HEADER_BYTES = len(MARKER) + 8


class Codec(Protocol):
    """Encodes and decodes the values of one schema."""

    def encode(self, record: Any, /) -> bytes:
        """Raises EncodeError when the record does not fit the schema. Missing fields take their default."""

    def decode(self, raw: bytes, /) -> Any:
        """Raises DecodeError when `raw` is not exactly one value."""

    def decode_many(self, raws: Iterable[bytes], /) -> list[Any]:
        """The value of each, or the DecodeError that says why there is none."""

    def decode_columns(self, raws: list[bytes], /) -> dict[str, list[Any]] | None:
        """The fields of records, by name.

        None where that cannot be told at once: a value is no record, damaged, or of another version of the schema.
        Then `decode_many` has the answer.
        """

    def encode_columns(self, common: Mapping[str, Any], columns: Mapping[str, Column], /) -> list[bytes]:
        """Each record of a table, of which schemas.columns says more. Raises EncodeError as `encode`."""


IMPLEMENTATION = "compiled" if COMPILED else "plain"


def codec_for(schema: Any, header: bytes = b"", other: Callable[[bytes], Any] | None = None) -> Codec:
    """Codec of an Avro schema as json.loads gives it. Raises SchemaError.

    Logical types are left as what they are stored in: a timestamp-millis is an int. With a `header`, every value
    begins with it, and what begins otherwise is decoded by `other`.
    """
    codec: Codec = (COMPILED or generate).Codec(parse(schema), header, other)
    return codec


@cache
def topic_codec(name: str) -> Codec:
    """Single-object codec of the schema schemas/NAME.avsc, which also reads every version in its history."""
    schema = versions.current(name)
    return codec_for(schema, MARKER + rabin(schema), _Older(name, schema))


class _Older:
    """Decodes what was written with a released version of a schema, as the current version sees it."""

    def __init__(self, name: str, reader: Any) -> None:
        self.name = name
        self.reader = fastavro.parse_schema(stored(reader))
        self.writers: dict[bytes, tuple[Codec, Any]] = {}
        for version in versions.released(name):
            self.writers[rabin(version.schema)] = codec_for(version.schema), fastavro.parse_schema(version.schema)

    def __call__(self, raw: bytes) -> Any:
        if not raw.startswith(MARKER) or len(raw) < HEADER_BYTES:
            raise DecodeError(
                f"expected single-object Avro, which begins with {MARKER.hex()} and 8 bytes of fingerprint; "
                f"got {len(raw)} bytes that begin with {raw[:HEADER_BYTES].hex() or 'nothing'}"
            )
        fingerprint = raw[len(MARKER) : HEADER_BYTES]
        if fingerprint not in self.writers:
            raise UnknownFingerprint(fingerprint.hex(), self.name)
        codec, writer = self.writers[fingerprint]
        body = raw[HEADER_BYTES:]
        codec.decode(body)  # what comes out well here cannot lead fastavro to take memory without end
        try:
            return fastavro.schemaless_reader(BytesIO(body), writer, self.reader)
        except (SchemaResolutionError, ValueError, KeyError, TypeError) as error:
            raise DecodeError(f"{self.name}: cannot be read as the current version: {error}") from error
