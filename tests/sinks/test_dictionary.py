"""The data dictionary in the documentation is the one of the migrations."""

from pathlib import Path

import pytest

from sinks.dictionary import dictionary
from sinks.store import Store
from watchfloor.pages import part

pytestmark = pytest.mark.clickhouse

DOCUMENT = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def test_the_document_is_up_to_date(store: Store) -> None:
    written = part(DOCUMENT.read_text(), "tables")
    current = "".join(f"{line}\n" for line in dictionary(store))
    assert written == current, "run `watchfloor db dictionary --output docs/data-dictionary.md`"


def test_every_column_has_a_meaning(store: Store) -> None:
    rows = store.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String} AND comment = '' "
        "AND table NOT LIKE 'v\\\\_%'",
        {"database": store.database},
    )
    assert rows == []
