"""Just enough reading of SQL to carry it: its words, where an INSERT's data starts, which format is asked.

The engine must never see inline data: its parser ends them at the first blank line and runs the rest as SQL.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from watchfloor.embedded.clickhouse.errors import DatabaseError

TOKEN = re.compile(
    rb"""--[^\n]*\n?|\#[ !][^\n]*\n?|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"""
    rb"""|\xe2\x80\x98.*?\xe2\x80\x99|\xe2\x80\x9c.*?\xe2\x80\x9d"""  # typographic quotes
    rb"""|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*|[()]|\s+|.""",
    re.DOTALL,
)
FORMAT_NAME = re.compile(rb"\s+(\w+)[ \t\f]*\r?\n?")


# Words and calls by which the engine, as the client that it also is, reads and writes files; no grant stops them.
# Looked for in text, too, because nothing can hide them there.
FILES = re.compile(
    rb"""(?i)\b(?:(outfile|infile)\b|(file)\b["`]?(?:\s|/\*.*?\*/|--[^\n]*\n|\#[^\n]*\n)*\()""", re.DOTALL
)


class Word(NamedTuple):
    text: bytes  # upper case
    start: int
    end: int


class Insert(NamedTuple):
    """An INSERT that carries its data. `settings` is its SETTINGS clause, or empty."""

    head: str
    settings: str
    format: str
    data: memoryview


def words(statement: bytes) -> Iterator[Word]:
    """Words outside parentheses; comments, quoted text and blanks are skipped."""
    depth = 0
    for match in TOKEN.finditer(statement):
        token = match.group()
        if token[:1] in b"'\"`#" or token[:2] in (b"--", b"/*") or token.isspace():
            continue
        depth += (token == b"(") - (token == b")")
        if depth == 0 and token != b")":
            yield Word(token.upper(), match.start(), match.end())


def first_word(statement: bytes) -> bytes:
    return next((word.text for word in words(statement.lstrip(b" \t\r\n("))), b"")


def split_insert(statement: bytes) -> Insert | None:
    """The parts of an INSERT with data; None for everything else (INSERT ... SELECT, too)."""
    if first_word(statement) != b"INSERT":
        return None
    settings = None
    for word in words(statement):
        if word.text in (b"SELECT", b"WITH", b"WATCH", b"INFILE"):
            return None
        if word.text == b"SETTINGS":
            settings = word.start
        if word.text in (b"VALUES", b"FORMAT"):
            name, start = "Values", word.end
            if word.text == b"FORMAT":
                found = FORMAT_NAME.match(statement, word.end)
                if found is None:
                    return None
                name, start = found[1].decode(), found.end()
            head = statement[: word.start if settings is None else settings].decode()
            clause = "" if settings is None else statement[settings : word.start].decode()
            return Insert(head, clause, name, memoryview(statement)[start:])
    return None


def awaits_data(statement: bytes) -> bool:
    """Whether it is an INSERT whose data come apart from it."""
    insert = split_insert(statement)
    return insert is not None and not bytes(insert.data).strip()


def output_format(statement: bytes, default: str) -> str:
    """The format that the statement's last FORMAT clause names, else the default."""
    if b"format" not in statement.lower():
        return default
    found = list(words(statement))
    for word, name in reversed(list(pairwise(found))):
        if word.text == b"FORMAT":
            return statement[name.start : name.end].decode()
    return default


def refuse_files(statement: bytes) -> None:
    """Raises DatabaseError (344) for a statement that could reach files of this machine."""
    found = FILES.search(statement)
    if found:
        name = (found[1] or found[2]).decode().upper()
        raise DatabaseError.named(
            344, f"{name} is refused here, in text as well: pass text as a parameter", "SUPPORT_IS_DISABLED"
        )
    for match in TOKEN.finditer(statement) if b"\\" in statement else ():
        token = match.group()
        if token[:1] in b'"`' and b"\\" in token:
            raise DatabaseError.named(344, "Escapes in quoted names are refused here", "SUPPORT_IS_DISABLED")


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """The name itself when it is a plain identifier.

    Raises DatabaseError (115) otherwise: names of settings come from the URL.
    """
    if not re.fullmatch(r"\w+", name):
        raise DatabaseError.named(115, f"Unknown setting {quoted(name)}", "UNKNOWN_SETTING")
    return name
