"""The file of channels and routes: what is wrong with it is said at start, and no secret with it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from watchfloor.cli import main
from watchfloor.settings import Settings
from watchfloor.supervisor import layout

GOOD = """
[channels.noc]
type = "webhook"
url = "https://noc.example/hook"
secret_env = "NOC_SECRET"

[channels.duty]
type = "email"
host = "mail.example"
user_env = "MAIL_USER"
password_env = "MAIL_PASSWORD"
from = "watchfloor@example.com"
to = ["duty@example.com"]

[[routes]]
channels = ["noc"]

[[routes]]
channels = ["duty"]
tenants = ["acme"]
kinds = ["metric_static"]
severity = "HIGH"
resolved = false
quiet = {from = 22:00:00, to = 07:00:00, zone = "Europe/Warsaw"}
"""


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOC_SECRET", "MAIL_USER", "MAIL_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")


def check(tmp_path: Path, text: str) -> tuple[int, str]:
    path = tmp_path / "notify.toml"
    path.write_text(text)
    done = CliRunner().invoke(main, ["notify", "--check", "--config", str(path)])
    return done.exit_code, done.output


@pytest.mark.usefixtures("secrets")
def test_a_good_file(tmp_path: Path) -> None:
    code, said = check(tmp_path, GOOD)
    assert code == 0, said
    assert "2 channels, 2 routes" in said


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('url = "https://noc.example/hook"', "", "give one of url and url_env"),
        ("https://noc", "ftp://noc", "must be like https://host/path"),
        ("https://noc", "https://me:hunter2@noc", "must not hold a user and password"),
        ('secret_env = "NOC_SECRET"', 'secret = "hunter2"', "channels.noc.webhook.secret: Extra inputs"),
        ("NOC_SECRET", "NOT_THERE", "the environment variable NOT_THERE is not set"),
        ('user_env = "MAIL_USER"', "", "user_env and password_env belong together"),
        ('host = "mail.example"', 'host = "mail.example"\ntls = "none"', "not sent without encryption"),
        ('"duty@example.com"', '"duty"', "channels.duty.email.to.0"),
        ('type = "email"', 'type = "pager"', "pager"),
        ('channels = ["duty"]', 'channels = ["dury"]', "channels that are not there: dury"),
        ('channels = ["noc"]', 'channels = ["duty"]', "no route leads to the channels: noc"),
        ("metric_static", "metric_statik", "no kind is called metric_statik; there are: metric_anomaly"),
        ('"HIGH"', '"high"', "routes.1.severity"),
        ("Europe/Warsaw", "Europe/Sim City", "is no time zone"),
        ("to = 07:00:00", "to = 22:00:00", "the same time"),
        ("[channels.noc]", "[channels.noc", "is not TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    code, output = check(tmp_path, GOOD.replace(old, new, 1))
    assert code == 1
    assert said in output
    assert "hunter2" not in output


def test_it_is_supervised_where_a_file_is_named(tmp_path: Path) -> None:
    def names(settings: Settings) -> list[str]:
        return [plan.name for plan in layout(settings, 1, collector=False).work]

    assert names(Settings(home=tmp_path)) == ["worker-0", "sink-0"]
    assert names(Settings(home=tmp_path, notify=tmp_path / "notify.toml")) == ["worker-0", "sink-0", "notify"]


def test_a_file_is_needed(tmp_path: Path) -> None:
    assert "set WATCHFLOOR_NOTIFY" in CliRunner().invoke(main, ["notify"]).output
    missing = CliRunner().invoke(main, ["notify", "--config", str(tmp_path / "none.toml")])
    assert "No such file" in missing.output
