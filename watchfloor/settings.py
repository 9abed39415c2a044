"""The one settings class: WATCHFLOOR_* variables first, then what the running `watchfloor up` wrote, then defaults."""

import json
import os
import re
import socket
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from models.ocr.redaction import LEAST_SECRET, Keys
from streams import sealing
from streams.sealing import Sealer

PREFIX = "WATCHFLOOR_"
ENDPOINTS = "run/endpoints.json"
Profile = Literal["dev", "staging", "prod"]
TOPIC_CHARACTERS = re.compile(r"[a-zA-Z0-9._-]*")
# Where the tests find servers that run already; not settings of the product.
TEST_VARIABLES = {"WATCHFLOOR_TEST_KAFKA", "WATCHFLOOR_TEST_CLICKHOUSE", "WATCHFLOOR_FAULTS_HOME"}


class EndpointsError(ValueError):
    """The file of a running instance's endpoints cannot be read."""


class RunningInstance(PydanticBaseSettingsSource):
    """Endpoints that the supervisor of this home wrote (ports chosen at start, the generated password)."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = Path(self.current_state.get("home") or Settings.model_fields["home"].default) / ENDPOINTS
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EndpointsError(f"{path} is not JSON ({error}); remove it and start `watchfloor up` again") from error
        return found


class Settings(BaseSettings):
    """Settings of every process. Durations are in the unit of their name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    home: Path = Field(default=Path(".watchfloor"), description="Folder of everything that this instance stores.")
    profile: Profile = Field(
        default="dev",
        description="Where this instance runs. In prod, Kafka and ClickHouse are never started, only used.",
    )
    jars: Path | None = Field(default=None, description="Folder of Kafka's jars, where they cannot be fetched.")
    pure: bool = Field(default=False, description="Use plain Python even where compiled modules are.")

    kafka: str = Field(default="127.0.0.1:9092", description="Bootstrap servers, host:port separated by commas.")
    prefix: str = Field(default="", description="Put before every topic and group name; isolates one run from another.")
    partitions: int = Field(default=2, ge=1, description="Partitions of each keyed topic when it is created.")
    replication: int = Field(default=1, ge=1, description="Replicas of each topic when it is created.")
    session_timeout_ms: int = Field(
        default=10_000, ge=1_000, description="A silent worker's partitions move after this."
    )

    clickhouse: str = Field(default="http://127.0.0.1:8123", description="HTTP interface of ClickHouse.")
    clickhouse_user: str = Field(default="default", description="User at ClickHouse.")
    clickhouse_password: SecretStr = Field(default=SecretStr(""), description="Password at ClickHouse.")
    database: str = Field(
        default="watchfloor", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", description="Database of the tables and views."
    )

    notify: Path | None = Field(
        default=None, description="TOML file of notification channels and routes; without it nobody is notified."
    )

    models: str | None = Field(
        default=None,
        description="Where models are stored: a folder, or an address that fsspec knows. HOME/models without it.",
    )
    model_memory_mb: int = Field(
        default=1024, ge=1, description="Memory of a worker's loaded models; those not used longest are given up."
    )
    signing_key: Path = Field(
        default=Path("~/.config/watchfloor/signing-key.pem"),
        description="Private key that signs models, where they are trained; keep it out of HOME.",
    )
    trusted_keys: Path = Field(
        default=Path("~/.config/watchfloor/trusted-keys"),
        description="Public keys of models that are loaded, a line for each.",
    )

    ocr_secret: SecretStr | None = Field(
        default=None,
        min_length=LEAST_SECRET,
        description="Secret of the fingerprints of plates, for workers; without it plates are not compared.",
    )
    letter_secret: SecretStr | None = Field(
        default=None,
        min_length=sealing.LEAST_SECRET,
        description="Secret that seals dead letters with personal data (workers, `dlq`); without it they are empty.",
    )
    former_letter_secret: SecretStr | None = Field(
        default=None,
        min_length=sealing.LEAST_SECRET,
        description="The secret before it, with which `dlq` opens older letters.",
    )

    tenant: str = Field(
        default="local", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Tenant of this host's metrics."
    )
    host: str = Field(default_factory=socket.gethostname, description="Name of this host in its metrics.")
    sample_seconds: float = Field(default=60.0, ge=1.0, description="Time between two samples of this host.")
    metrics_address: str = Field(
        default="127.0.0.1", description="Address on which processes serve Prometheus figures."
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port of Prometheus figures; 0 takes a free one.")

    @field_validator("kafka")
    @classmethod
    def check_servers(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{server!r} is not host:port; expected for example kafka-1:9092,kafka-2:9092")
        return value

    @field_validator("clickhouse")
    @classmethod
    def check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://clickhouse:8123")
        if parts.username or parts.password:
            raise ValueError("user and password belong in WATCHFLOOR_CLICKHOUSE_USER and _PASSWORD, not in the address")
        return value

    @field_validator("models")
    @classmethod
    def check_models(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if parts.username or parts.password:
            raise ValueError("credentials belong where fsspec's package for such addresses looks, not in the address")
        return value or None

    @field_validator("prefix")
    @classmethod
    def check_prefix(cls, value: str) -> str:
        if not TOPIC_CHARACTERS.fullmatch(value) or len(value) > 100:
            raise ValueError("a prefix is at most 100 letters, digits, dots, underscores and dashes")
        return value

    @model_validator(mode="after")
    def check_production(self) -> Self:
        unset = [PREFIX + name.upper() for name in ("kafka", "clickhouse") if name not in self.model_fields_set]
        if self.profile == "prod" and unset:
            raise ValueError(f"profile prod uses servers of yours: set {' and '.join(unset)}")
        return self

    @model_validator(mode="after")
    def check_letter_secrets(self) -> Self:
        if self.former_letter_secret is not None and self.letter_secret is None:
            raise ValueError("WATCHFLOOR_FORMER_LETTER_SECRET only opens letters: set WATCHFLOOR_LETTER_SECRET, too")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, RunningInstance(settings_cls)

    @cached_property
    def run(self) -> Path:
        """Folder where processes say which ports they took."""
        return self.home / "run"

    @property
    def ocr_keys(self) -> Keys:
        """Of the fingerprints of plates."""
        return Keys(None if self.ocr_secret is None else self.ocr_secret.get_secret_value().encode())

    @property
    def sealer(self) -> Sealer:
        """Of dead letters with personal data; nothing is sealed under the former secret."""
        if self.letter_secret is None:
            return sealing.NO_SEALER
        secrets = (self.letter_secret, self.former_letter_secret)
        return Sealer([each.get_secret_value().encode() for each in secrets if each is not None])

    @cached_property
    def model_store(self) -> str:
        """Where models are stored."""
        return self.models or str(self.home / "models")


def variable(field: str) -> str:
    """The environment variable of a field of Settings."""
    return PREFIX + field.upper()


def unknown_variables() -> list[str]:
    """WATCHFLOOR_* variables of the environment that mean nothing: misspelt, as a rule."""
    known = {variable(field) for field in Settings.model_fields} | TEST_VARIABLES
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def in_words(error: ValueError) -> str | None:
    """What is wrong with the settings, a line for each; None when the error is not one of settings."""
    if isinstance(error, EndpointsError):
        return str(error)
    if not isinstance(error, ValidationError) or error.title != Settings.__name__:
        return None
    lines = []
    for one in error.errors():
        name = variable(str(one["loc"][0])) if one["loc"] else "Settings"
        came = "" if name == "Settings" or name.endswith(("PASSWORD", "SECRET")) else f"={one['input']!r}"
        lines.append(f"{name}{came}: {one['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
