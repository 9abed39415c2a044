"""The file of channels and routes: its form, and what is wrong with one."""

import os
import re
import tomllib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from models.alerts import KINDS

Severity = Literal["INFO", "WARNING", "HIGH", "CRITICAL"]


class ConfigError(ValueError):
    """The file cannot be used; the text says what is wrong with what."""


Address = Annotated[str, Field(pattern=r"^[!-?A-~]+@[!-?A-~]+$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def from_environment(name: str) -> SecretStr:
    """A secret that the environment holds. Raises ValueError when it does not."""
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"the environment variable {name} is not set")
    return SecretStr(value)


class Webhook(Section):
    """Alerts as JSON by HTTP POST. An address that is a secret comes from the variable `url_env`."""

    type: Literal["webhook"]
    url: str = ""
    url_env: str | None = None
    secret_env: str | None = None
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def check(self) -> Self:
        if bool(self.url) == (self.url_env is not None):
            raise ValueError("give one of url and url_env")
        address = self.address.get_secret_value()
        if not re.fullmatch(r"[!-~]+", address):
            raise ValueError("the address must be plain ASCII without spaces")
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address must be like https://host/path")
        if parts.username or parts.password:
            raise ValueError("the address must not hold a user and password")
        _ = self.secret
        return self

    @property
    def address(self) -> SecretStr:
        return from_environment(self.url_env) if self.url_env else SecretStr(self.url)

    @property
    def secret(self) -> SecretStr | None:
        return from_environment(self.secret_env) if self.secret_env else None


class Email(Section):
    """Alerts as mails through an SMTP server."""

    type: Literal["email"]
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user_env: str | None = None
    password_env: str | None = None
    sender: Address = Field(alias="from")
    to: list[Address] = Field(min_length=1)
    timeout_s: float = Field(default=20.0, gt=0, le=60)

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env and password_env belong together")
        if self.user_env and self.tls == "none":
            raise ValueError('a password is not sent without encryption: tls must be "starttls" or "tls"')
        _ = self.login
        return self

    @property
    def login(self) -> tuple[SecretStr, SecretStr] | None:
        if self.user_env is None or self.password_env is None:
            return None
        return from_environment(self.user_env), from_environment(self.password_env)


class Quiet(Section):
    """Hours of the day in which only what is at least `through` is told."""

    begin: time = Field(alias="from")
    end: time = Field(alias="to")
    zone: str
    through: Severity = "CRITICAL"

    @field_validator("zone")
    @classmethod
    def check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone; expected a name such as Europe/Warsaw") from error
        return value

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.begin == self.end:
            raise ValueError("from and to are the same time")
        if self.begin.tzinfo or self.end.tzinfo:
            raise ValueError("from and to are times of the zone, like 22:00:00")
        return self

    def until(self, now: datetime) -> datetime | None:
        """When the quiet hours at hand end (UTC); None outside of them."""
        local = now.astimezone(ZoneInfo(self.zone))
        clock = local.time()
        over_midnight = self.begin > self.end
        inside = clock >= self.begin or clock < self.end if over_midnight else self.begin <= clock < self.end
        if not inside:
            return None
        day = local.date() + timedelta(days=over_midnight and clock >= self.begin)
        return datetime.combine(day, self.end, ZoneInfo(self.zone)).astimezone(UTC)


class Route(Section):
    """Which alerts go to which channels. What is not named is not restricted."""

    channels: list[str] = Field(min_length=1)
    tenants: list[str] = []
    kinds: list[str] = []
    severity: Severity = "INFO"
    resolved: bool = True
    quiet: Quiet | None = None

    @field_validator("kinds")
    @classmethod
    def check_kinds(cls, value: list[str]) -> list[str]:
        unknown = [name for name in value if name not in KINDS]
        if unknown:
            raise ValueError(f"no kind is called {', '.join(unknown)}; there are: {', '.join(KINDS)}")
        return value


Channel = Annotated[Webhook | Email, Field(discriminator="type")]


class Config(Section):
    channels: dict[Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,60}$")], Channel] = Field(min_length=1)
    routes: list[Route] = Field(min_length=1)

    @model_validator(mode="after")
    def check(self) -> Self:
        named = {name for route in self.routes for name in route.channels}
        unknown = sorted(named - set(self.channels))
        if unknown:
            raise ValueError(f"routes name channels that are not there: {', '.join(unknown)}")
        idle = sorted(set(self.channels) - named)
        if idle:
            raise ValueError(f"no route leads to the channels: {', '.join(idle)}")
        return self

    def routes_to(self, channel: str) -> list[Route]:
        return [route for route in self.routes if channel in route.channels]


def load(path: Path) -> Config:
    """Read the file, and the secrets it names from the environment. Raises ConfigError, a line per mistake."""
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        # The input is not repeated: it may hold a secret that belongs elsewhere.
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        ]
        raise ConfigError(f"{path} cannot be used.\n" + "\n".join(lines)) from error
