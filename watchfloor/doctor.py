"""What is missing on this machine or in this instance, in plain words, and how to mend it. Changes nothing."""

import json
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from producers.sources import Lag, SourceError
from schemas.apply import Cluster
from schemas.compiled import COMPILED
from sinks.errors import Refused, SinkStopped, Unavailable
from sinks.preflight import preflight
from sinks.store import Store
from streams.topology import AGENTS
from watchfloor.commands.topics import all_wanted
from watchfloor.embedded.jars import JAVA_HELP, KAFKA_VERSION, JavaError, java, java_version, library
from watchfloor.settings import ENDPOINTS, Settings, unknown_variables, variable
from watchfloor.supervisor import STATUS, layout

OLDEST_JAVA = 17
LEAST_FREE_BYTES = 2_000_000_000
LARGEST_SKEW_S = 2.0
LARGEST_LAG = 100_000
LIMIT_S = 5.0

State = Literal["ok", "mend", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `mend` says what to do when its state is mend."""

    check: str
    state: State
    text: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order of what needs what. Takes at most about 20 s, when nothing answers."""
    embedded = {server.name for server in layout(settings, 0, False).servers}
    yield variables()
    yield python()
    yield compiled()
    yield from (
        java_and_jars(settings)
        if "kafka" in embedded
        else [Finding("java", "skipped", "not needed: Kafka is not started here")]
    )
    yield disk(settings.home)
    yield from processes(settings)
    with ThreadPoolExecutor(2) as pool:
        kafka = pool.submit(lambda: list(of_kafka(settings)))
        clickhouse = pool.submit(lambda: list(of_clickhouse(settings)))
        yield from kafka.result()
        yield from clickhouse.result()


def variables() -> Finding:
    unknown = unknown_variables()
    if unknown:
        return Finding(
            "settings", "mend", f"these variables mean nothing: {', '.join(unknown)}", "Correct or remove them."
        )
    return Finding("settings", "ok", "every WATCHFLOOR_ variable is known")


def python() -> Finding:
    return Finding("python", "ok", f"Python {platform.python_version()} at {sys.executable}")


def compiled() -> Finding:
    if COMPILED is None:
        return Finding("codecs", "ok", "plain Python; with a C compiler deploy/setup.sh builds ones 4 times as fast")
    return Finding("codecs", "ok", "compiled")


def java_and_jars(settings: Settings) -> Iterator[Finding]:
    try:
        interpreter = java()
        version = java_version(interpreter)
    except JavaError as error:
        yield Finding("java", "mend", str(error).removesuffix(JAVA_HELP).strip(), JAVA_HELP)
    else:
        old = version < OLDEST_JAVA
        yield Finding("java", "mend" if old else "ok", f"Java {version} at {interpreter}", JAVA_HELP if old else "")
    folder = settings.jars or library(settings.home) / f"kafka-{KAFKA_VERSION}"
    maven = shutil.which("mvn")
    if any(folder.glob("kafka_*.jar")):
        yield Finding("jars", "ok", f"Kafka {KAFKA_VERSION} in {folder}")
    elif settings.jars is not None:
        yield Finding("jars", "mend", f"no Kafka in {folder}", f"Correct {variable('jars')} or remove it.")
    elif maven:
        yield Finding("jars", "ok", f"not fetched yet; {maven} fetches Kafka {KAFKA_VERSION} when it is needed")
    else:
        yield Finding("jars", "mend", f"no Kafka in {folder}, and no Maven to fetch it", "Run deploy/setup.sh.")


def disk(home: Path) -> Finding:
    folder = home.absolute()
    while not folder.exists():
        folder = folder.parent
    usage = psutil.disk_usage(str(folder))
    text = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.0f} GB for {home}"
    if usage.free < LEAST_FREE_BYTES:
        return Finding("disk", "mend", text, f"Free {LEAST_FREE_BYTES / 1e9:.0f} GB or move {variable('home')}.")
    return Finding("disk", "ok", text)


def processes(settings: Settings) -> Iterator[Finding]:
    """What the supervisor of this home says, and every process that said here that it runs."""
    status = read(settings.home / STATUS)
    if not status or not psutil.pid_exists(status["pid"]):
        yield Finding("supervisor", "skipped", f"no `watchfloor up` runs in {settings.home}")
    else:
        down = [one for one in status["services"] if one["state"] != "running"]
        names = ", ".join(f"{one['name']} is {one['state']} (log: {one['log']})" for one in down)
        if down:
            yield Finding("supervisor", "mend", names, "Read the log; it is started again until it stays up.")
        else:
            yield Finding("supervisor", "ok", f"{len(status['services'])} processes run, pid {status['pid']}")
    dead = [
        path.stem
        for path in sorted(settings.run.glob("*.json"))
        if "kind" in (about := read(path)) and not psutil.pid_exists(int(about["pid"]))
    ]
    if dead:
        yield Finding("processes", "mend", f"ended without a word: {', '.join(dead)}", "Start them again.")


def read(path: Path) -> dict[str, Any]:
    """A JSON object, empty when the file is not there or being written."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def of_kafka(settings: Settings) -> Iterator[Finding]:
    start = f"Start `watchfloor up`, or set {variable('kafka')} to your brokers."
    try:
        brokers = (
            AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0}).list_topics(timeout=LIMIT_S).brokers
        )
    except KafkaException as error:
        yield Finding("kafka", "mend", f"nothing answers at {settings.kafka}: {error.args[0].str()}", start)
        yield Finding("topics", "skipped", "Kafka does not answer")
        yield Finding("lag", "skipped", "Kafka does not answer")
        return
    yield Finding("kafka", "ok", f"{len(brokers)} broker(s) at {settings.kafka}{whose(settings)}")
    yield guarded("topics", lambda: topics(settings))
    yield guarded("lag", lambda: lag(settings))


def guarded(check: str, finding: Callable[[], Finding]) -> Finding:
    """A check whose trouble with Kafka is a finding too."""
    try:
        return finding()
    except (KafkaException, SourceError, TimeoutError) as error:
        return Finding(check, "mend", f"Kafka did not say: {error}", "Try again; see the broker's log.")


def topics(settings: Settings) -> Finding:
    wanted = all_wanted(settings)
    plan = Cluster(settings.kafka, limit_s=LIMIT_S).plan(wanted)
    if plan.refused:
        return Finding("topics", "mend", "; ".join(plan.refused), "These changes are yours to make: they lose data.")
    if plan.lines():
        return Finding("topics", "mend", "; ".join(plan.lines()), "Run `watchfloor topics apply`.")
    return Finding("topics", "ok", f"{len(wanted)} topics match the catalogue")


def lag(settings: Settings) -> Finding:
    behind = Lag(settings.kafka, [settings.prefix + agent.name for agent in AGENTS]).read()["queue_depth"]
    if behind is None:
        return Finding("lag", "skipped", "no agent has read anything yet")
    text = f"the agents are {behind:,.0f} records behind"
    if behind > LARGEST_LAG:
        return Finding("lag", "mend", text, "Is a worker running? Start more: `watchfloor worker --name worker-N`.")
    return Finding("lag", "ok", text)


def of_clickhouse(settings: Settings) -> Iterator[Finding]:
    password = settings.clickhouse_password.get_secret_value()
    store = Store(settings.clickhouse, settings.clickhouse_user, password, settings.database, timeout_s=LIMIT_S)
    start = f"Start `watchfloor up`, or set {variable('clickhouse')}, _USER and _PASSWORD to your server."
    try:
        reach(settings.clickhouse)
        before = time.time()
        row = store.query("SELECT version() AS version, toFloat64(now64(3)) AS now")[0]
        after = time.time()
        problems = preflight(store)
    except OSError as error:
        yield Finding("clickhouse", "mend", f"nothing answers at {settings.clickhouse}: {error}", start)
    except (Unavailable, SinkStopped, Refused) as error:
        who = f"{settings.clickhouse} as {settings.clickhouse_user}"
        yield Finding("clickhouse", "mend", f"no use at {who}: {error}", start)
    else:
        yield Finding("clickhouse", "ok", f"ClickHouse {row['version']} at {settings.clickhouse}{whose(settings)}")
        if problems:
            yield Finding("tables", "mend", " ".join(problems), "Run `watchfloor db migrate`.")
        else:
            yield Finding("tables", "ok", f"database {settings.database} is what this release writes")
        yield clock(settings, skew(before, row["now"], after))
        return
    yield Finding("tables", "skipped", "ClickHouse does not answer")
    yield Finding("clock", "skipped", "ClickHouse does not answer")


def reach(url: str) -> None:
    """Raises OSError when nothing listens there: said sooner and shorter than by the client."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), LIMIT_S).close()


def skew(before: float, there: float, after: float) -> float:
    """Least difference in seconds between this clock, read before and after, and one read in between."""
    return max(before - there, there - after, 0.0)


def clock(settings: Settings, seconds: float) -> Finding:
    text = f"this machine and ClickHouse differ by {'more than ' if seconds else 'less than '}{max(seconds, 0.1):.1f} s"
    if seconds > LARGEST_SKEW_S:
        return Finding("clock", "mend", text, "Set both by NTP: alerts and retention go by these clocks.")
    if not local(settings.kafka):
        text += "; Kafka does not tell its time: see to NTP on the brokers"
    return Finding("clock", "ok", text)


def local(servers: str) -> bool:
    return all(
        (urlsplit(f"//{one.strip()}").hostname or "") in ("127.0.0.1", "localhost") for one in servers.split(",")
    )


def whose(settings: Settings) -> str:
    return " (of `watchfloor up`)" if (settings.home / ENDPOINTS).exists() else ""
