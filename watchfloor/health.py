"""Whether the whole is well: servers, tables, processes and what flows between them. Changes nothing.

What doctor knows of the servers is taken from there; this adds the flow, looked at twice.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from producers.sources import Lag, SourceError
from schemas.topics import CATALOGUE
from sinks import queries
from sinks.errors import Mismatch, Refused, Unavailable
from sinks.store import Store
from streams.runtime import StateVersionError
from streams.topology import AGENTS
from watchfloor import doctor
from watchfloor.dead_letters import letters
from watchfloor.doctor import Finding, guarded
from watchfloor.settings import Settings
from watchfloor.vitals import Vitals, vitals

WINDOW_S = 300
SMALL_LAG = 1_000
LAGS = ("watchfloor_lag_records", "watchfloor_sink_lag_records", "watchfloor_notify_lag_records")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still well.

    Attributes:
        dead_letters: so many in the last 5 minutes.
        behind_s: so many seconds may pass until a record can be read in the views.
        interval_s: time between the two looks at the lag.
    """

    dead_letters: int = 100
    behind_s: float = 60.0
    interval_s: float = 3.0


def examine(settings: Settings, limits: Limits) -> Iterator[Finding]:
    """Every check. Takes `interval_s`, and at most about 20 s more when nothing answers."""
    with ThreadPoolExecutor(3) as pool:
        kafka = pool.submit(lambda: list(doctor.of_kafka(settings)))
        clickhouse = pool.submit(lambda: list(doctor.of_clickhouse(settings)))
        looks = pool.submit(lambda: two_looks(settings, limits.interval_s))
        servers = {finding.check: finding for finding in (*kafka.result(), *clickhouse.result())}
        before, after = looks.result()
    yield from servers.values()
    yield from doctor.processes(settings)
    yield figures(after.processes)
    yield halted(after.processes)
    yield paused(after.processes)
    yield growth(before, after)
    yield from channels(after.processes)
    if servers["kafka"].state == servers["topics"].state == "ok":
        yield guarded("letters", lambda: dead_letters(settings, limits.dead_letters))
    else:
        yield Finding("letters", "skipped", "the topics are not there to be read")
    if servers["tables"].state == "ok":
        yield views(settings, limits.behind_s)
    else:
        yield Finding("views", "skipped", "the tables are not there to be read")


@dataclass(frozen=True, slots=True)
class Look:
    """What the processes of this home say, and the agents' lag as Kafka has it; None when it does not say."""

    processes: list[Vitals]
    lag: float | None

    def lags(self) -> dict[str, float]:
        """Records waiting, by who has them waiting."""
        found = {"agents": self.lag} if self.lag is not None else {}
        for each in self.processes:
            if each.trouble is None and each.kind != "worker":  # the agents' lag has theirs, also of other machines
                waiting = sum(each.total(name) for name in LAGS)
                found[each.name] = waiting
        return found


def two_looks(settings: Settings, interval_s: float) -> tuple[Look, Look]:
    before = look(settings)
    time.sleep(interval_s)
    return before, look(settings)


def look(settings: Settings) -> Look:
    try:
        lag = Lag(settings.kafka, [settings.prefix + agent.name for agent in AGENTS]).read()["queue_depth"]
    except SourceError:
        lag = None  # the check of Kafka says why
    return Look(vitals(settings.run), lag)


def figures(processes: list[Vitals]) -> Finding:
    silent = [f"{each.name} {each.trouble}" for each in processes if each.trouble]
    if silent:
        return Finding("figures", "mend", ", ".join(silent), "Read its log in HOME/logs, and start it again.")
    if not processes:
        return Finding("figures", "skipped", "no process of this home says that it runs; those of others are not seen")
    return Finding("figures", "ok", f"{', '.join(each.name for each in processes)} answer")


def halted(processes: list[Vitals]) -> Finding:
    stopped = {each.name: int(each.total("watchfloor_halted_partitions")) for each in processes}
    names = ", ".join(f"{count} of {name}" for name, count in stopped.items() if count)
    if names:
        mend = "Its log says why; `watchfloor positions show` whether records are lost."
        if any(each.total("watchfloor_errors_total", error=StateVersionError.__name__) for each in processes):
            names += "; another release has written their state"
            mend = "Start the newest release again: `watchfloor upgrade status` names what it has finalised."
        return Finding("halted", "mend", f"partitions stand still: {names}", mend)
    if not any(each.kind == "worker" and each.trouble is None for each in processes):
        return Finding("halted", "skipped", "no worker of this home answers")
    return Finding("halted", "ok", "no partition stands still")


def paused(processes: list[Vitals]) -> Finding:
    """Partitions that dead letters have paused, and how to let them go on."""
    names = sorted(
        f"{labels['agent']}/{labels['partition']}"
        for each in processes
        for (name, having), value in each.figures.items()
        if name == "watchfloor_paused" and value
        for labels in [dict(having)]
    )
    if names:
        mend = (
            "`watchfloor dlq list --since 5m` says why. When the cause is mended: `watchfloor control set release "
            f"{names[0]} --reason ...`, with all for all of them."
        )
        return Finding("paused", "mend", f"paused by too many dead letters: {', '.join(names)}", mend)
    if not any(each.kind == "worker" and each.trouble is None for each in processes):
        return Finding("paused", "skipped", "no worker of this home answers")
    return Finding("paused", "ok", "no partition is paused")


def growth(before: Look, after: Look) -> Finding:
    earlier, now = before.lags(), after.lags()
    if not now:
        return Finding("growth", "skipped", "nothing says how much waits")
    text = ", ".join(f"{count:,.0f} wait for {name}" for name, count in now.items())
    grown = [name for name, count in now.items() if count > max(earlier.get(name, count), SMALL_LAG)]
    if grown:
        mend = "Less comes out than comes in: start more workers, or see what slows them down."
        return Finding("growth", "mend", f"{text}; it grows for {', '.join(grown)}", mend)
    return Finding("growth", "ok", text)


def channels(processes: list[Vitals]) -> Iterator[Finding]:
    """Of the notifier, where one runs."""
    for each in processes:
        if each.kind != "notify" or each.trouble is not None:
            continue
        failing = [channel for channel, value in each.by("watchfloor_notify_failing", "channel").items() if value]
        if failing:
            text = f"{', '.join(failing)} do not take notifications"
            yield Finding("channels", "mend", text, f"The log of {each.name} says why; they are tried on.")
        else:
            yield Finding("channels", "ok", f"the channels of {each.name} work")


def dead_letters(settings: Settings, most: int) -> Finding:
    """Raises KafkaException."""
    count = 0
    since = int((time.time() - WINDOW_S) * 1000)
    for letter in letters(settings.kafka, settings.prefix, since):
        count += letter.replays is None
        if count > most:
            text = f"more than {most:,} dead letters in the last 5 minutes"
            return Finding("letters", "mend", text, "`watchfloor dlq list --since 5m` says why.")
    return Finding("letters", "ok", f"{count:,} dead letters in the last 5 minutes")


def views(settings: Settings, most_s: float) -> Finding:
    password = settings.clickhouse_password.get_secret_value()
    store = Store(
        settings.clickhouse, settings.clickhouse_user, password, settings.database, timeout_s=doctor.LIMIT_S, enter=True
    )
    try:
        found = {row["topic"].removeprefix(settings.prefix): row["seconds_behind"] for row in queries.freshness(store)}
    except (Unavailable, Refused, Mismatch) as error:
        return Finding("views", "mend", f"ClickHouse did not say: {error}", "Try again; see its log.")
    behind = {topic: seconds for topic, seconds in found.items() if topic in CATALOGUE}
    if not behind:
        return Finding("views", "skipped", "no sink has written yet")
    topic, seconds = max(behind.items(), key=lambda item: item[1])
    text = f"complete but for the last {seconds:,.0f} s ({topic})"
    if seconds > most_s:
        return Finding("views", "mend", text, "Is a sink running, and does it write? `watchfloor top` shows it.")
    return Finding("views", "ok", text)
