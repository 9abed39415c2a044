"""Encoding and decoding of records: Avro, single-object encoding for topics."""

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import fastavro

MARKER = b"\xc3\x01"


class EncodeError(ValueError):
    """A record that does not fit its schema."""


class DecodeError(ValueError):
    """Bytes that are no record of the schema. `reason` says what was expected and what came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownFingerprint(DecodeError):
    """A record written with a schema that this release does not know."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(f"no schema with the fingerprint {fingerprint} is known")
        self.fingerprint = fingerprint


class Codec(Protocol):
    def encode(self, record: dict[str, Any]) -> bytes: ...

    def decode(self, raw: bytes) -> dict[str, Any]: ...


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {k: _plain(v) for k, v in schema.items() if k != "logicalType"}
    return [_plain(v) for v in schema] if isinstance(schema, list) else schema


class _Fastavro:
    def __init__(self, schema: dict[str, Any]) -> None:
        canonical = fastavro.schema.to_parsing_canonical_form(schema)
        self.header = MARKER + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        self.schema = fastavro.parse_schema(_plain(schema))

    def encode(self, record: dict[str, Any]) -> bytes:
        out = BytesIO(self.header)
        out.seek(10)
        try:
            fastavro.schemaless_writer(out, self.schema, record)
        except Exception as error:
            raise EncodeError(str(error)) from error
        return out.getvalue()

    def decode(self, raw: bytes) -> dict[str, Any]:
        if raw[:2] != MARKER or len(raw) < 10:
            raise DecodeError("not single-object Avro")
        if raw[:10] != self.header:
            raise UnknownFingerprint(raw[2:10].hex())
        source = BytesIO(raw)
        source.seek(10)
        try:
            record: Any = fastavro.schemaless_reader(source, self.schema, None)
        except Exception as error:
            raise DecodeError(str(error)) from error
        if source.tell() != len(raw):
            raise DecodeError("bytes after the record")
        return dict(record)


@cache
def topic_codec(name: str) -> Codec:
    """Codec of the schema in schemas/NAME.avsc."""
    return _Fastavro(json.loads((Path(__file__).parent / f"{name}.avsc").read_text()))
