"""The data dictionary in the documentation is the one of the migrations."""

from pathlib import Path

import pytest

from sinks.dictionary import dictionary
from sinks.store import Store

pytestmark = pytest.mark.clickhouse

DOCUMENT = Path(__file__).parents[2] / "docs" / "database.md"


def test_the_document_is_up_to_date(store: Store) -> None:
    written = DOCUMENT.read_text().partition("<!-- dictionary -->\n")[2].partition("<!-- /dictionary -->")[0]
    current = "".join(f"{line}\n" for line in dictionary(store))
    assert written == current, "put the output of `watchfloor db dictionary` between the marks in docs/database.md"


def test_every_column_has_a_meaning(store: Store) -> None:
    rows = store.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String} AND comment = '' "
        "AND table NOT LIKE 'v\\\\_%'",
        {"database": store.database},
    )
    assert rows == []
