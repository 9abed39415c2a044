"""The ways out: a webhook and e-mail. Each sends one notification once, within a time limit, and says how it went."""

import hashlib
import hmac
import http.client
import json
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from math import isfinite
from typing import Any, Protocol
from urllib.parse import urlsplit

from watchfloor.notify import config

TRY_AGAIN = {408, 425, 429}
LONGEST_RETRY_AFTER_S = 600.0
MOST_ANSWER_BYTES = 1 << 16


class Refused(Exception):
    """The other side does not take this notification, and would not take it later."""


class Failed(Exception):
    """It did not work now. `after_s`: not to be tried again sooner, in seconds."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Channel(Protocol):
    def send(self, alert: Mapping[str, Any]) -> None:
        """Returns when the other side has it. Raises Refused, Failed."""


def channel(section: config.Webhook | config.Email) -> Channel:
    return Webhook(section) if isinstance(section, config.Webhook) else Email(section)


def idempotency_key(alert: Mapping[str, Any]) -> str:
    """The same for every attempt to tell one version of an alert, and for no other."""
    return f"{alert['alert_id']}-{alert['seq']}"


def headline(alert: Mapping[str, Any]) -> str:
    """One line for people."""
    state = "RESOLVED" if alert["state"] == "resolved" else alert["severity"]
    return " ".join(f"[{state}] {alert['tenant_id']}: {alert['summary']}".split())


def plain(value: Any) -> Any:
    """What JSON can say of it: a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


class Webhook:
    """POSTs {"text": ..., "alert": {...}} as JSON.

    Headers: Idempotency-Key, and with a secret X-Watchfloor-Signature: sha256=HEX, the HMAC-SHA256 of the body.
    Redirects are not followed: they would carry the alert to where nobody configured.
    """

    def __init__(self, section: config.Webhook) -> None:
        self._url = urlsplit(section.address.get_secret_value())
        self._secret = section.secret
        self._timeout_s = section.timeout_s

    def send(self, alert: Mapping[str, Any]) -> None:
        body = json.dumps({"text": headline(alert), "alert": plain(alert)}, ensure_ascii=False, sort_keys=True).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "watchfloor",
            "Idempotency-Key": idempotency_key(alert),
        }
        if self._secret is not None:
            digest = hmac.new(self._secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
            headers["X-Watchfloor-Signature"] = f"sha256={digest}"
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        try:
            with closing(connection), limited(2 * self._timeout_s, lambda: connection.sock):
                connection.request("POST", target, body, headers)
                answer = connection.getresponse()
                answer.read(MOST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        if 200 <= answer.status < 300:
            return
        said = f"HTTP {answer.status} {answer.reason}"
        if answer.status in TRY_AGAIN or answer.status >= 500:
            wanted = answer.headers.get("Retry-After", "")
            raise Failed(
                said, min(float(wanted), LONGEST_RETRY_AFTER_S) if wanted.isascii() and wanted.isdigit() else 0
            )
        raise Refused(said)


class Email:
    """Sends a mail to all recipients. The Message-ID is the same for every attempt."""

    def __init__(self, section: config.Email) -> None:
        self._section = section
        self._login = section.login

    def send(self, alert: Mapping[str, Any]) -> None:
        section = self._section
        try:
            server = self._connect()
            with server, limited(2 * section.timeout_s, lambda: server.sock):
                if section.tls == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self._login is not None:
                    user, password = self._login
                    server.login(user.get_secret_value(), password.get_secret_value())
                server.send_message(mail(alert, section.sender, section.to))
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            said = f"all recipients were refused with {', '.join(map(str, sorted(codes)))}"
            raise (Refused(said) if min(codes) >= 500 else Failed(said)) from error
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            said = f"SMTP {error.smtp_code} {text(error.smtp_error)}"
            raise (Refused(said) if error.smtp_code >= 500 else Failed(said)) from error
        except smtplib.SMTPAuthenticationError as error:
            # A matter of the channel, not of the mail; what the server said may repeat the user's name.
            raise Failed(f"SMTP {error.smtp_code}: the server does not accept user and password") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error

    def _connect(self) -> smtplib.SMTP:
        section = self._section
        if section.tls == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(section.host, section.port, timeout=section.timeout_s, context=context)
        return smtplib.SMTP(section.host, section.port, timeout=section.timeout_s)


def mail(alert: Mapping[str, Any], sender: str, to: list[str]) -> EmailMessage:
    """The mail of a version of an alert; the versions of one alert make one thread."""
    message = EmailMessage()
    message["Subject"] = headline(alert)[:200]
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(datetime.fromtimestamp(alert["updated_at"] / 1000, UTC))
    message["Message-ID"] = f"<{idempotency_key(alert)}@watchfloor>"
    message["References"] = f"<{alert['alert_id']}@watchfloor>"
    message["Auto-Submitted"] = "auto-generated"
    opened = datetime.fromtimestamp(alert["opened_at"] / 1000, UTC)
    lines = [
        alert["summary"],
        "",
        f"severity  {alert['severity']}",
        f"state     {alert['state']} ({alert['reason']})",
        f"opened    {opened:%Y-%m-%d %H:%M:%S} UTC",
        f"samples   {alert['count']}",
        *(f"{name:<9} {alert[name]:g}" for name in ("value", "expected", "limit") if alert[name] is not None),
        f"what to do: {alert['runbook']}",
        f"alert     {alert['alert_id']}, version {alert['seq']}",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message


def text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


@contextmanager
def limited(seconds: float, sock: Callable[[], Any]) -> Iterator[None]:
    """Ends the connection after so long: the socket's own limit begins anew with every byte."""

    def end() -> None:
        found = sock()
        if isinstance(found, socket.socket):
            try:
                found.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
