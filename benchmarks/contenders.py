"""Who takes part, how each is built once and how it is started."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks.report import say
from watchfloor.embedded.jars import java

HERE = Path(__file__).parent
PEERS = HERE / "peers"
STREAMS = PEERS / "streams"


@dataclass(frozen=True, slots=True)
class Contender:
    """One engine in one setting.

    share: part of the benchmark's events that it is given; slow ones get fewer.
    changelog: topic to create for its state, with {name} for the name of the run; empty if it creates its own.
    build: makes what it needs under the given folder and returns the command line; may be called again and again.
    """

    name: str
    title: str
    guarantee: str
    share: float
    build: Callable[[Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    changelog: str = ""


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise click.ClickException("uv, which makes the peers' environments, was not found. Run deploy/setup.sh.")
    return found


def environment_of(name: str, tools: Path) -> str:
    """The interpreter of a peer's own environment, made from peers/NAME.txt: peers pin what the product pins too."""
    wanted = PEERS / f"{name}.txt"
    stamp = hashlib.blake2b(wanted.read_bytes(), digest_size=8).hexdigest()
    folder = tools / f"{name}-{stamp}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"making the environment of {name}")
        shutil.rmtree(folder, ignore_errors=True)
        call(uv(), "venv", "-q", "--python", sys.executable, str(folder))
        call(uv(), "pip", "install", "-q", "--python", str(python), "-r", str(wanted))
        (folder / "ready").touch()
    return str(python)


def call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise click.ClickException(f"{' '.join(command[:3])} ... failed:\n{(done.stdout + done.stderr)[-2000:]}")


def kafka_streams(tools: Path) -> list[str]:
    files = sorted(STREAMS.iterdir())
    stamp = hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()
    folder = tools / f"streams-{stamp}"
    if not (folder / "ready").exists():
        maven = shutil.which("mvn")
        if maven is None:
            raise click.ClickException("Maven (mvn), which builds the Kafka Streams peer, was not found on PATH.")
        say("building the Kafka Streams peer")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(STREAMS, folder)
        call(maven, "-B", "-q", "-f", str(folder / "pom.xml"), "package", "dependency:copy-dependencies")
        (folder / "ready").touch()
    return [java(), "-Xmx1g", "-cp", f"{folder}/target/classes:{folder}/target/dependency/*", "Peer"]


def quixstreams(tools: Path) -> list[str]:
    return [environment_of("quixstreams", tools), str(PEERS / "quix.py")]


def bytewax(tools: Path) -> list[str]:
    python = environment_of("bytewax", tools)
    start = 'mkdir -p "$BENCH_STATE" && "$0" -m bytewax.recovery "$BENCH_STATE" 1 && '
    start += 'exec "$0" -m bytewax.run bytewax_flow:flow -r "$BENCH_STATE" -s 1 -b 0'
    return ["sh", "-c", start, python]


def stock_faust(tools: Path) -> list[str]:
    start = 'exec "$0" "$1" --datadir "$BENCH_STATE" worker --without-web -l error'
    return ["sh", "-c", start, sys.executable, str(PEERS / "stock.py")]


def watchfloor(tools: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.worker"]


ONCE, AT_LEAST = "exactly once", "at least once"
CHANGELOG = "changelog.{name}"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("watchfloor", "Watchfloor", ONCE, 1.0, watchfloor, {}, CHANGELOG),
        Contender(
            "watchfloor-25ms", "Watchfloor, linger 25 ms", ONCE, 1.0, watchfloor, {"BENCH_LINGER_MS": "25"}, CHANGELOG
        ),
        Contender(
            "watchfloor-pure", "Watchfloor, no compiler", ONCE, 1.0, watchfloor, {"WATCHFLOOR_PURE": "1"}, CHANGELOG
        ),
        Contender("streams", "Kafka Streams", ONCE, 1.0, kafka_streams, {"BENCH_COMMIT_MS": "100"}),
        Contender(
            "streams-direct",
            "Kafka Streams, hand-written Avro",
            ONCE,
            1.0,
            kafka_streams,
            {"BENCH_COMMIT_MS": "100", "BENCH_AVRO": "direct"},
        ),
        Contender("bytewax", "bytewax", AT_LEAST, 0.25, bytewax),
        Contender("quix", "quixstreams, commit 1 s", ONCE, 0.25, quixstreams, {"BENCH_COMMIT_MS": "1000"}),
        Contender("quix-100ms", "quixstreams, commit 100 ms", ONCE, 0.25, quixstreams, {"BENCH_COMMIT_MS": "100"}),
        Contender("stock", "stock Faust, Table", AT_LEAST, 0.005, stock_faust, {"BENCH_GUARANTEE": "at_least_once"}),
        Contender(
            "stock-eo",
            "stock Faust, Table, exactly_once",
            ONCE,
            0.005,
            stock_faust,
            {"BENCH_GUARANTEE": "exactly_once"},
        ),
    )
}


def peer_versions() -> dict[str, str]:
    """Versions of the peers as pinned."""
    found: dict[str, str] = {}
    for name in ("quixstreams", "bytewax"):
        pins = dict(line.split("==") for line in (PEERS / f"{name}.txt").read_text().split() if "==" in line)
        found |= {name: pins[name], f"confluent-kafka of {name}": pins["confluent-kafka"]}
    pom = (STREAMS / "pom.xml").read_text()
    found["kafka-streams"] = pom.partition("kafka-streams</artifactId><version>")[2].partition("<")[0]
    return found


def chosen(only: tuple[str, ...], otherwise: tuple[str, ...]) -> list[Contender]:
    """The contenders named by --only, or the usual ones of a benchmark, in their usual order."""
    unknown = set(only) - set(CONTENDERS)
    if unknown:
        raise click.ClickException(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}")
    return [CONTENDERS[name] for name in (only or otherwise)]


def python_path() -> str:
    """Where peers find work.py and the product's contender finds the product, whatever environment runs them."""
    return os.pathsep.join(filter(None, [str(PEERS), str(HERE.parent), os.environ.get("PYTHONPATH")]))
