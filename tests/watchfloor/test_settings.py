"""Settings: where they come from, and what is said when one is wrong."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from watchfloor.cli import main
from watchfloor.settings import ENDPOINTS, EndpointsError, Settings, in_words, unknown_variables


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of whoever runs the tests, and a home of our own."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"WATCHFLOOR_{field.upper()}", raising=False)
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path))


def write_endpoints(home: Path, text: str) -> None:
    (home / "run").mkdir()
    (home / ENDPOINTS).write_text(text)


def test_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().kafka == "127.0.0.1:9092"
    write_endpoints(tmp_path, json.dumps({"kafka": "127.0.0.1:20001", "clickhouse_password": "of the file"}))
    assert Settings().kafka == "127.0.0.1:20001"
    assert Settings().clickhouse_password.get_secret_value() == "of the file"
    monkeypatch.setenv("WATCHFLOOR_KAFKA", "broker:9092")
    assert Settings().kafka == "broker:9092"
    assert Settings(kafka="other:9092").kafka == "other:9092"


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE_PASSWORD", "hunter2")
    assert "hunter2" not in repr(Settings())
    monkeypatch.setenv("WATCHFLOOR_CLICKHOUSE", "http://me:hunter2@clickhouse:8123")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "belong in WATCHFLOOR_CLICKHOUSE_USER and _PASSWORD" in (in_words(error.value) or "")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kafka", "kafka-1", "'kafka-1' is not host:port"),
        ("kafka", "kafka-1:9092,kafka-2", "'kafka-2' is not host:port"),
        ("clickhouse", "clickhouse:8123", "expected an address such as http://"),
        ("prefix", "a b", "letters, digits, dots"),
        ("partitions", "0", "greater than or equal to 1"),
        ("tenant", "No", "pattern"),
        ("database", "x; DROP", "pattern"),
        ("profile", "production", "'dev', 'staging' or 'prod'"),
        ("sample_seconds", "0.1", "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named(field: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WATCHFLOOR_{field.upper()}", value)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert f"WATCHFLOOR_{field.upper()}={value!r}: " in result.output
    assert said in result.output


def test_production_names_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_PROFILE", "prod")
    monkeypatch.setenv("WATCHFLOOR_KAFKA", "kafka:9092")
    with pytest.raises(ValidationError, match="profile prod uses servers of yours: set WATCHFLOOR_CLICKHOUSE"):
        Settings()


def test_a_broken_endpoints_file_is_named(tmp_path: Path) -> None:
    write_endpoints(tmp_path, "{")
    with pytest.raises(EndpointsError, match=r"endpoints\.json is not JSON"):
        Settings()


def test_other_errors_are_not_taken_for_settings() -> None:
    assert in_words(ValueError("something else")) is None


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_TEST_KAFKA", "127.0.0.1:9092")
    monkeypatch.setenv("WATCHFLOOR_KAFAK", "x")
    assert unknown_variables() == ["WATCHFLOOR_KAFAK"]


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `WATCHFLOOR_{name.upper()}` |" in text
        assert f"| {field.description} |" in text
