"""Content encodings of request bodies, with a limit on what they may unpack to."""

import sys
import zlib
from typing import Protocol

import lz4.frame

from watchfloor.embedded.clickhouse.errors import DatabaseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _decompressor(encoding: str) -> Decompressor:
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(31)
    if encoding == "deflate":
        return zlib.decompressobj()
    if encoding == "zstd":
        return zstd.ZstdDecompressor()  # type: ignore[no-any-return, unused-ignore]
    if encoding == "lz4":
        return lz4.frame.LZ4FrameDecompressor()  # type: ignore[no-any-return]
    raise DatabaseError.named(48, f"Unknown content encoding {encoding}", "NOT_IMPLEMENTED")


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """Unpack a body of one or several frames (clickhouse-connect sends one LZ4 frame per block).

    Raises DatabaseError for an unknown encoding, torn data, or data that unpack to over `limit` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while data:
        unpack = _decompressor(encoding)
        try:
            part = unpack.decompress(data, limit + 1 - size)
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
            raise DatabaseError.named(
                271, f"Cannot decompress the body as {encoding}: {error}", "CANNOT_DECOMPRESS"
            ) from error
        size += len(part)
        if size > limit:
            raise DatabaseError.named(
                223,
                f"The body unpacks to more than {limit} bytes; send smaller batches",
                "QUERY_IS_TOO_LARGE",
            )
        if not unpack.eof:
            raise DatabaseError.named(271, f"The {encoding} body ends in mid-frame", "CANNOT_DECOMPRESS")
        parts.append(part)
        data = unpack.unused_data or b""
    return b"".join(parts)
