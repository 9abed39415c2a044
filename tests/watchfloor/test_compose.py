"""docker-compose.yml against the code: its settings, commands, and what production must not lack."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from watchfloor.cli import main
from watchfloor.embedded import clickhouse, jars
from watchfloor.embedded.kafka import SETTINGS
from watchfloor.settings import Settings, variable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("watchfloor:")}
ONE_SHOT = {"topics", "migrate"}
# What an operator fills in.
GIVEN = "given" * 10
# Differ on purpose: one machine of a person, and a server.
SIZES = re.compile(r"num\.|threads|partitions|segment|index|dedupe|session|heartbeat|role|listener|node\.id")


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Its variables, the required ones filled in."""
    return {
        name: re.sub(r"\$\{\w+:([-?])(.*?)\}", lambda m: m[2] if m[1] == "-" else GIVEN, str(value))
        for name, value in service["environment"].items()
    }


@pytest.mark.parametrize("name", OURS)
def test_its_settings_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable means something, and together they are accepted."""
    known = {variable(field) for field in Settings.model_fields}
    variables = environment(OURS[name])
    assert set(variables) <= known
    for variable_, value in variables.items():
        monkeypatch.setenv(variable_, value)
    settings = Settings()
    assert settings.profile == "prod"
    assert settings.clickhouse_password.get_secret_value()


@pytest.mark.parametrize("name", OURS)
def test_its_command_exists(name: str) -> None:
    words = OURS[name]["command"]
    done = CliRunner().invoke(main, [*(word for word in words if not word.startswith("-")), "--help"])
    assert done.exit_code == 0, done.output
    for option in (word for word in words if word.startswith("-")):
        assert option in done.output


def test_every_container_is_bounded_and_without_rights() -> None:
    for name, service in SERVICES.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits["cpus"], name
        assert limits["memory"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        assert service["restart"] in ("unless-stopped", "on-failure"), name
    for name, service in OURS.items():
        assert service["user"] == "10001:10001", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_every_long_running_container_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name


def test_figures_are_checked_where_they_are_served() -> None:
    for name, service in OURS.items():
        if name in ONE_SHOT:
            continue
        port = environment(service)["WATCHFLOOR_METRICS_PORT"]
        assert f"http://127.0.0.1:{port}/metrics" in " ".join(service["healthcheck"]["test"])


def test_data_are_in_volumes() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert "kafka:/var/lib/kafka/data" in SERVICES["kafka"]["volumes"]
    assert "clickhouse:/var/lib/clickhouse" in SERVICES["clickhouse"]["volumes"]
    assert set(COMPOSE["volumes"]) == {"kafka", "clickhouse"}


def test_servers_are_reachable_from_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down() -> None:
    """A password or secret is a required variable, never a value or an empty default."""
    for line in TEXT.splitlines():
        if re.search("PASSWORD|SECRET", line) and ":" in line and not line.lstrip().startswith("#"):
            assert re.search(r": \$\{\w+:\?[^}]+\}$", line), line


def test_who_sees_personal_data_has_the_secrets_and_nobody_else() -> None:
    secrets = {variable("ocr_secret"), variable("letter_secret")}
    for name, service in OURS.items():
        assert secrets & service["environment"].keys() == (secrets if name == "worker" else set()), name
    for each in secrets:
        assert re.search(rf"^#   {each}= ", TEXT, re.MULTILINE)


def test_everything_waits_for_what_it_needs() -> None:
    for name in ("worker", "sink", "collect", "notify"):
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert SERVICES["sink"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_notifier_runs_only_where_it_is_asked_for_and_reads_the_operators_file() -> None:
    """Everything else comes up without a file of channels; with the profile, a missing one is an error of Compose."""
    notify = SERVICES["notify"]
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"notify"}
    assert notify["profiles"] == ["notify"]
    (mounted,) = notify["volumes"]
    assert mounted["target"] == environment(notify)["WATCHFLOOR_NOTIFY"]
    assert mounted["read_only"]
    assert mounted["bind"] == {"create_host_path": False}
    # Secrets that the file names by variable come from a file of the operator's, which is never committed.
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    operators = {f"/{each['path']}" for each in notify["env_file"]} | {mounted["source"].removeprefix(".")}
    assert operators | {"/.env"} <= set(ignored)


def test_mounted_files_exist() -> None:
    sources = [
        volume.split(":")[0]
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if name != "notify" and volume.startswith(".")
    ]
    assert len(sources) == 2
    for source in sources:
        assert (ROOT / source).is_file()


def test_broker_is_the_embedded_one() -> None:
    """Same version, and the same settings but for sizes."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{jars.KAFKA_VERSION}"
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment(SERVICES["kafka"]).items()
        if name.startswith("KAFKA_")
    }
    compared = {name: value for name, value in SETTINGS.items() if not SIZES.search(name)}
    assert {name: found.get(name) for name in compared} == compared


def test_database_keeps_blocks_like_the_embedded_one() -> None:
    embedded = Path(clickhouse.__file__).with_name("config.xml")
    ours = ROOT / "deploy" / "clickhouse" / "config.xml"
    assert merge_tree(ours) == merge_tree(embedded)


def merge_tree(path: Path) -> dict[str, str | None]:
    section = ElementTree.parse(path).getroot().find("merge_tree")
    assert section is not None
    return {element.tag: element.text for element in section if isinstance(element.tag, str)}


def test_users_have_passwords_of_the_environment() -> None:
    users = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "users.xml").getroot().find("users")
    assert users is not None
    default, *others = users
    assert default.tag == "default"
    assert default.get("remove") == "remove"
    for user in others:
        password = user.find("password")
        assert password is not None
        assert password.get("from_env") in SERVICES["clickhouse"]["environment"]
    names = {user.tag for user in others}
    assert environment(SERVICES["worker"])["WATCHFLOOR_CLICKHOUSE_USER"] in names


def test_image_runs_without_root_and_holds_every_package() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(stages) == 2
    assert text.rindex("USER 10001:10001") > text.rindex("FROM")
    known = {variable(field) for field in Settings.model_fields}
    assert set(re.findall(r"WATCHFLOOR_[A-Z_]+", text)) <= known
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert packages
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert packages <= copied
    assert {f"!{package}" for package in packages} <= set(ignored)
