"""`watchfloor schemas` and the page that it writes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas import versions
from schemas.dictionary import topics
from watchfloor.commands.schemas import command
from watchfloor.pages import part

PAGE = versions.FOLDER.parent / "docs" / "data-dictionary.md"
run = CliRunner().invoke


def test_the_page_in_docs_is_the_one_that_is_written() -> None:
    written = part(PAGE.read_text(), "topics")
    assert written == topics(), "run `watchfloor schemas doc --output docs/data-dictionary.md`"


def test_list() -> None:
    listed = json.loads(run(command, ["list", "--json"]).stdout)
    assert [row["name"] for row in listed["schemas"]] == versions.names()
    assert all(row["versions"][-1]["fingerprint"] == row["fingerprint"] for row in listed["schemas"])
    assert "events.metrics" in run(command, ["list"]).stdout


def test_check_and_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(command, ["check"]).exit_code == 0
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    more = [*schema["fields"], {"name": "b", "type": "int"}]
    monkeypatch.setattr(versions, "FOLDER", tmp_path)
    monkeypatch.setattr(versions, "HISTORY", tmp_path)
    (tmp_path / "x.avsc").write_text(json.dumps(schema))
    assert "run `watchfloor schemas release x`" in run(command, ["check"]).stderr
    assert run(command, ["release", "x"]).stdout == "x: kept as x.v1.avsc\n"
    assert run(command, ["release"]).stdout == "x: unchanged\n"
    (tmp_path / "x.avsc").write_text(json.dumps({**schema, "fields": more}))
    for arguments in (["check"], ["release"]):
        failed = run(command, arguments)
        assert failed.exit_code == 1
        assert "record.b: a new field needs a default" in failed.stderr
    assert "there is no schema 'y'; there are: x" in run(command, ["release", "y"]).stderr


def test_doc(tmp_path: Path) -> None:
    assert run(command, ["doc"]).stdout == topics()
    there = tmp_path / "page.md"
    there.write_text("# Page\n\n<!-- topics -->\nold\n<!-- /topics -->\n\nMore.\n")
    for _ in range(2):
        assert run(command, ["doc", "--output", str(there)]).exit_code == 0
        assert there.read_text() == f"# Page\n\n<!-- topics -->\n{topics()}<!-- /topics -->\n\nMore.\n"
    there.write_text("# Page\n")
    assert "it has no lines" in run(command, ["doc", "--output", str(there)]).stderr
