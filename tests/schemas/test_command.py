"""`watchfloor schemas` and the page that it writes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas import versions
from schemas.dictionary import page
from watchfloor.commands.schemas import command

PAGE = versions.FOLDER.parent / "docs" / "topics.md"
run = CliRunner().invoke


def test_the_page_in_docs_is_the_one_that_is_written() -> None:
    assert PAGE.read_text() == page(), "run `watchfloor schemas doc --output docs/topics.md`"


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
    assert run(command, ["doc"]).stdout == page()
    run(command, ["doc", "--output", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == page()
