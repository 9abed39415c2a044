"""The notifier with a real broker, a real web server and a real mail server."""

import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import ALERTS
from tests.faults.waiting import until
from tests.watchfloor.notify.servers import Mail, Web, serving
from tests.watchfloor.test_alerts import alert
from watchfloor.cli import main
from watchfloor.notify import config
from watchfloor.notify.channels import Channel, Email, Failed, Refused, Webhook, idempotency_key
from watchfloor.notify.figures import Figures
from watchfloor.notify.teller import Teller

SECRET = "between us"


@pytest.fixture
def own(kafka: str, prefix: str) -> str:
    """Prefix of an empty alerts topic of two partitions."""
    unique = f"{prefix}{uuid4().hex[:6]}."
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    for made in admin.create_topics([NewTopic(unique + ALERTS.name, 2, 1)]).values():
        made.result(30)
    return unique


def publish(kafka: str, prefix: str, *alerts: dict[str, Any], timestamp: int = 0) -> None:
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for one in alerts:
        key = ALERTS.key_of(one)
        producer.produce(
            prefix + ALERTS.name, ALERTS.codec.encode(one), key, ALERTS.partition_of(key, 2), timestamp=timestamp
        )
    assert producer.flush(20) == 0


def webhook(web: Web, **other: Any) -> Channel:
    return Webhook(config.Webhook.model_validate({"type": "webhook", "url": web.url, "timeout_s": 5, **other}))


@contextmanager
def telling(
    kafka: str, prefix: str, channel: Channel, *, now: Any = None, max_age_s: float = 3600, **route: Any
) -> Iterator[Figures]:
    """A channel named `one` in this process."""
    figures, stop = Figures(), threading.Event()
    routes = [config.Route.model_validate({"channels": ["one"], **route})]
    clock = {"now": now} if now else {}
    teller = Teller(
        "one", channel, routes, servers=kafka, prefix=prefix, max_age_s=max_age_s, figures=figures, stop=stop,
        instance="test", **clock,
    )  # fmt: skip
    thread = threading.Thread(target=teller.run)
    thread.start()
    try:
        yield figures
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def figure(figures: Figures, name: str) -> float:
    return figures.registry.get_sample_value(f"watchfloor_notify_{name}", {"channel": "one"}) or 0.0


def notifier(kafka: str, prefix: str, home: Path, path: Path) -> subprocess.Popen[bytes]:
    environment = {
        "WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": prefix, "WATCHFLOOR_HOME": str(home), "HOOK_SECRET": SECRET,
        "WATCHFLOOR_NOTIFY": str(path),
    }  # fmt: skip
    with (home / "notify.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "watchfloor", "notify"], env=os.environ | environment, stdout=output, stderr=output
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.kafka
def test_killed_in_the_middle_with_one_channel_down(kafka: str, own: str, tmp_path: Path) -> None:
    """Every alert arrives on both channels; what comes twice has the same key; the one down holds up nothing."""
    web, port = Web(), free_port()
    web.seconds = 0.02
    path = tmp_path / "notify.toml"
    path.write_text(f"""
        [channels.hook]
        type = "webhook"
        url = "{web.url}"
        secret_env = "HOOK_SECRET"
        [channels.mail]
        type = "email"
        host = "127.0.0.1"
        port = {port}
        tls = "none"
        from = "watchfloor@example.com"
        to = ["duty@example.com"]
        [[routes]]
        channels = ["hook", "mail"]
    """)
    told = [
        version
        for number in range(20)
        for version in (
            alert(number, tenant_id=f"t{number % 5}"),
            alert(number, tenant_id=f"t{number % 5}", seq=2, severity="CRITICAL", reason="severity"),
        )
    ]
    silent = [alert(number, tenant_id="t1", seq=3, reason="more") for number in range(10)]
    publish(kafka, own, *told, *silent)
    wanted = {idempotency_key(one) for one in told}

    with serving(web):
        process = notifier(kafka, own, tmp_path, path)
        try:
            until(lambda: len(web.got) >= 20, 30, "the first notifications")
            # It dies with one in its hands that was not taken.
            web.status = 503
            sent = len(web.got)
            until(lambda: len(web.got) > sent + 1, 30, "attempts in vain")
            process.kill()
            process.wait()
            assert set(web.taken) < wanted
            web.status = 204
            process = notifier(kafka, own, tmp_path, path)
            until(lambda: set(web.taken) == wanted, 30, "every notification")
            mail = Mail(port)
            with serving(mail):
                ids = {f"<{key}@watchfloor>" for key in wanted}
                until(lambda: set(mail.ids) == ids, 40, "every mail")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    bodies: dict[str, set[bytes]] = {}
    for headers, body in web.got:
        bodies.setdefault(headers["Idempotency-Key"], set()).add(body)
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Watchfloor-Signature"] == f"sha256={signature}"
    assert all(len(same) == 1 for same in bodies.values())
    assert len(web.taken) <= len(wanted) + 1  # at most what was under way
    for number in range(20):  # the versions of an alert in their order
        mine = [json.loads(body)["alert"]["seq"] for _, body in web.got if f"-{number:012d}-" in str(body)]
        assert mine == sorted(mine)
    log = (tmp_path / "notify.log").read_text()
    assert "Connection refused" in log
    assert "hush" not in log
    assert SECRET not in log


@pytest.mark.kafka
def test_what_was_held_is_told_in_the_morning_if_it_is_still_open(kafka: str, own: str) -> None:
    """Also when the process was restarted in the night."""
    web = Web()
    night, morning = datetime(2026, 3, 10, 2, tzinfo=UTC), datetime(2026, 3, 10, 7, tzinfo=UTC)
    clock = [night]
    quiet = {"quiet": {"from": "22:00", "to": "07:00", "zone": "UTC"}}
    night_log = [
        alert(1), alert(2), alert(3, severity="CRITICAL"), alert(4), alert(5), alert(6),
        alert(2, seq=2, state="resolved", reason="resolved"),
        alert(4, seq=2, state="acknowledged", reason="acknowledged"),
        alert(5, seq=2, severity="CRITICAL", reason="severity"),
    ]  # fmt: skip
    publish(kafka, own, *night_log)
    with serving(web):
        with telling(kafka, own, webhook(web), now=lambda: clock[0], **quiet) as figures:
            until(lambda: len(web.got) == 2 and figure(figures, "held") == 2, 20, "what breaks through")
        assert web.keys == [idempotency_key(alert(3)), idempotency_key(night_log[-1])]
        publish(kafka, own, alert(6, seq=2, state="resolved", reason="resolved"))
        clock[0] = morning
        with telling(kafka, own, webhook(web), now=lambda: clock[0], **quiet) as figures:
            until(lambda: len(web.got) == 3, 20, "what was held")
            publish(kafka, own, alert(7))
            until(lambda: len(web.got) == 4, 20, "what comes in the day")
        assert web.keys[2:] == [idempotency_key(alert(1)), idempotency_key(alert(7))]


@pytest.mark.kafka
def test_refusals_are_given_up_and_failures_tried_again(kafka: str, own: str) -> None:
    web = Web()
    web.status = 404
    with serving(web), telling(kafka, own, webhook(web)) as figures:
        publish(kafka, own, alert(1))
        until(lambda: figure(figures, "refused_total") == 1, 20, "the refusal")
        web.status, web.headers = 503, {"Retry-After": "1"}
        began = time.monotonic()
        publish(kafka, own, alert(2), alert(3))
        until(lambda: figure(figures, "retries_total") == 1, 20, "the failure")
        assert figure(figures, "failing") == 1
        web.status = 204
        until(lambda: figure(figures, "sent_total") == 2, 20, "the second attempt")
        assert time.monotonic() - began >= 1
        until(lambda: figure(figures, "failing") == 0, 5, "recovery")
    assert web.keys == [idempotency_key(alert(n)) for n in (1, 2, 2, 3)]


@pytest.mark.kafka
def test_history_is_not_told(kafka: str, own: str) -> None:
    web = Web()
    now = int(time.time() * 1000)
    publish(kafka, own, alert(1), timestamp=now - 7200_000)
    publish(kafka, own, alert(2))
    with serving(web):
        with telling(kafka, own, webhook(web)) as figures:
            until(lambda: web.got, 20, "the new one")
            publish(kafka, own, alert(3), timestamp=now - 7200_000)
            publish(kafka, own, alert(4))
            until(lambda: len(web.got) == 2, 20, "the next one")
            assert figure(figures, "expired_total") == 1
        assert web.keys == [idempotency_key(alert(2)), idempotency_key(alert(4))]


@pytest.mark.kafka
def test_a_rehearsal_sends_nothing(kafka: str, own: str, tmp_path: Path) -> None:
    web = Web()
    path = tmp_path / "notify.toml"
    path.write_text(f'[channels.hook]\ntype = "webhook"\nurl = "{web.url}"\n[[routes]]\nchannels = ["hook"]\n')
    publish(kafka, own, alert(1), alert(2, reason="more"))
    environment = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": own, "WATCHFLOOR_HOME": str(tmp_path)}
    with serving(web):
        done = CliRunner().invoke(main, ["notify", "--config", str(path), "--dry-run"], env=environment)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [f"hook: {idempotency_key(alert(1))} [HIGH] acme: {alert(1)['summary']}"]
    assert web.got == []


def email(port: int, **other: Any) -> Email:
    section = {"type": "email", "host": "127.0.0.1", "port": port, "tls": "none", "from": "w@example.com",
               "to": ["duty@example.com"], "timeout_s": 5, **other}  # fmt: skip
    return Email(config.Email.model_validate(section))


def test_a_mail() -> None:
    mail = Mail()
    with serving(mail):
        email(mail.port).send(alert(1, summary="żółw\r\nBcc: everyone@example.com", seq=3))
        with pytest.raises(Refused, match="550"):
            email(mail.port, to=["nobody@example.com"]).send(alert(2))
    (one,) = mail.got
    assert one["Subject"] == "[HIGH] acme: żółw Bcc: everyone@example.com"
    assert one["Bcc"] is None
    assert one["Message-ID"] == f"<{alert(1)['alert_id']}-3@watchfloor>"
    assert "expected  20" in one.get_content()
    with pytest.raises(Failed, match="refused"):
        email(mail.port).send(alert(1))


def test_a_webhook() -> None:
    web = Web()
    with serving(web):
        webhook(web).send(alert(1, evidence={"share": float("nan")}))
        web.status, web.headers = 302, {"Location": web.url}
        with pytest.raises(Refused, match="302"):
            webhook(web).send(alert(1))
        web.status, web.seconds = 204, 1.0
        with pytest.raises(Failed, match=r"[Tt]ime"):
            webhook(web, timeout_s=0.2).send(alert(1))
    assert json.loads(web.got[0][1])["alert"]["evidence"] == {"share": None}
