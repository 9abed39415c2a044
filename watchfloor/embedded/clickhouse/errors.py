"""ClickHouse's errors as its HTTP interface shows them."""

import re

# HTTP status by error code, as a server answers; every other code is a 500.
STATUS = {
    6: 400, 16: 404, 26: 400, 27: 400, 33: 400, 36: 400, 38: 400, 41: 400, 46: 404, 47: 404, 48: 501, 50: 404,
    53: 400, 56: 404, 60: 404, 62: 400, 69: 400, 70: 400, 81: 404, 115: 404, 117: 400, 130: 400, 159: 408,
    192: 403, 193: 403, 194: 401, 202: 503, 210: 400, 223: 413, 372: 404, 411: 411, 456: 400, 516: 403,
}  # fmt: skip

UNKNOWN_DATABASE = 81
ENGINE_ERROR = re.compile(r"Code: (\d+)\. DB::Exception: (?:Code: \d+\. DB::Exception: )*(.*)", re.DOTALL)


class DatabaseError(Exception):
    """An error with ClickHouse's number, for instance 60 (UNKNOWN_TABLE)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @classmethod
    def named(cls, code: int, message: str, name: str) -> "DatabaseError":
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def of(cls, error: BaseException) -> "DatabaseError":
        """The engine reports through plain exceptions whose text starts with the code."""
        if isinstance(error, cls):
            return error
        found = ENGINE_ERROR.search(str(error))
        if found is None:
            return cls(1000, f"Code: 1000. DB::Exception: {error} (POCO_EXCEPTION)")
        return cls(int(found[1]), f"Code: {found[1]}. DB::Exception: {found[2]}")

    @property
    def status(self) -> int:
        return STATUS.get(self.code, 500)

    def body(self, version: str) -> str:
        """The text as clients parse it; a server ends it with its version."""
        text = re.sub(r"(?: \(version [^)]*\))?\s*$", "", self.text)
        return f"{text} (version {version} (official build))\n"
