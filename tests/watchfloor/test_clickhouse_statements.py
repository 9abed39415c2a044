"""Reading SQL just as far as carrying it needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor.embedded.clickhouse.errors import DatabaseError
from watchfloor.embedded.clickhouse.statements import first_word, output_format, quoted, refuse_files, split_insert


@pytest.mark.parametrize(
    ("statement", "head", "form", "data"),
    [
        (b"INSERT INTO t (a, b) FORMAT CSV\n1,2\n", "INSERT INTO t (a, b) ", "CSV", b"1,2\n"),
        (b"insert into t format Native \r\n\x01\x02", "insert into t ", "Native", b"\x01\x02"),
        (b"INSERT INTO t VALUES (1), (2)", "INSERT INTO t ", "Values", b" (1), (2)"),
        (b"/* FORMAT x */ INSERT INTO `FORMAT y` FORMAT TSV\na", "/* FORMAT x */ INSERT INTO `FORMAT y` ", "TSV", b"a"),
        (
            b"INSERT INTO t SETTINGS a = 'VALUES' FORMAT TSV\n\n\nb",
            "INSERT INTO t ",
            "TSV",
            b"\n\nb",
        ),
        (b"-- VALUES\nINSERT INTO t FORMAT CSV\nSELECT", "-- VALUES\nINSERT INTO t ", "CSV", b"SELECT"),
        (b"INSERT INTO t (a) FORMAT CSV", "INSERT INTO t (a) ", "CSV", b""),
    ],
)
def test_an_insert_is_split_from_its_data(statement: bytes, head: str, form: str, data: bytes) -> None:
    found = split_insert(statement)
    assert found is not None
    assert (found.head, found.format, bytes(found.data)) == (head, form, data)
    assert found.settings == ("SETTINGS a = 'VALUES' " if b"SETTINGS" in statement else "")


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT 'INSERT INTO t VALUES (1)'",
        b"INSERT INTO t SELECT * FROM values('a Int8', 1)",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t",
        b"",
    ],
)
def test_what_carries_no_data_is_left_whole(statement: bytes) -> None:
    assert split_insert(statement) is None


@given(st.binary(max_size=200))
def test_data_are_never_changed(data: bytes) -> None:
    found = split_insert(b"INSERT INTO t (a) FORMAT RowBinary\n" + data)
    assert found is not None
    assert bytes(found.data) == data


@pytest.mark.parametrize(
    ("statement", "form"),
    [
        (b"SELECT 1", "TSV"),
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT 'FORMAT CSV'", "TSV"),
        (b"SELECT (SELECT format FROM t) FORMAT Native SETTINGS a = 1", "Native"),
        (b"SELECT format('{}', 1)", "TSV"),
    ],
)
def test_the_last_format_counts(statement: bytes, form: str) -> None:
    assert output_format(statement, "TSV") == form


@pytest.mark.parametrize(
    ("statement", "word"),
    [(b"  (SELECT 1)", b"SELECT"), (b"/* a */ -- b\n with x as (select 1) select", b"WITH"), (b"", b"")],
)
def test_first_word(statement: bytes, word: bytes) -> None:
    assert first_word(statement) == word


@pytest.mark.parametrize(
    "statement", [b"SELECT profile(1), 'a file', outfiles", b"SELECT file FROM t", b"SELECT 'a\\'b'"]
)
def test_words_that_only_look_like_files_pass(statement: bytes) -> None:
    refuse_files(statement)


def test_words_of_files_are_refused_wherever_they_stand() -> None:
    for statement in (b"SELECT 'outfile'", b"select File (1)", b"INSERT INTO t FROM infile 'x'"):
        with pytest.raises(DatabaseError, match="refused here"):
            refuse_files(statement)


@given(st.text())
def test_quoted_text_is_one_token(text: str) -> None:
    from watchfloor.embedded.clickhouse.statements import TOKEN

    raw = quoted(text).encode("utf-8", "surrogatepass")
    match = TOKEN.match(raw)
    assert match is not None
    assert match.group() == raw
