"""The one settings class: WATCHFLOOR_* variables first, then what the running `watchfloor up` wrote, then defaults."""

import json
import socket
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENDPOINTS = "run/endpoints.json"


class RunningInstance(PydanticBaseSettingsSource):
    """Endpoints that the supervisor of this home wrote (ports chosen at start, the generated password)."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        home = self.current_state.get("home") or self.config.get("home") or Path(".watchfloor")
        path = Path(home) / ENDPOINTS
        if not path.exists():
            return {}
        found: dict[str, Any] = json.loads(path.read_text())
        return found


class Settings(BaseSettings):
    """Settings of every process. Durations are in the unit of their name."""

    model_config = SettingsConfigDict(env_prefix="WATCHFLOOR_", extra="ignore")

    home: Path = Field(Path(".watchfloor"), description="Folder of everything that this instance stores.")
    profile: Literal["dev", "staging", "prod"] = Field("dev", description="Where this instance runs.")

    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, host:port separated by commas.")
    prefix: str = Field("", description="Put before every topic and group name; isolates one run from another.")
    partitions: int = Field(2, ge=1, description="Partitions of each keyed topic when it is created.")
    replication: int = Field(1, ge=1, description="Replicas of each topic when it is created.")
    session_timeout_ms: int = Field(10_000, ge=1_000, description="A silent worker's partitions move after this.")

    clickhouse: str = Field("http://127.0.0.1:8123", description="HTTP interface of ClickHouse.")
    clickhouse_user: str = Field("default", description="User at ClickHouse.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Password at ClickHouse.")
    database: str = Field("watchfloor", description="Database of the tables and views.")

    tenant: str = Field("local", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Tenant of this host's metrics.")
    host: str = Field(default_factory=socket.gethostname, description="Name of this host in its metrics.")
    sample_seconds: float = Field(60.0, ge=1.0, description="Time between two samples of this host.")
    metrics_port: int = Field(0, ge=0, description="Port of a process's Prometheus figures; 0 takes a free one.")

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
