"""The Java that the embedded broker runs on: the interpreter, and Kafka's jars as pinned in pom.xml."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

KAFKA_VERSION = "4.1.1"
POM = Path(__file__).with_name("pom.xml")
JAVA_HELP = (
    "Run deploy/setup.sh, or install Java 17 or newer (Debian, Ubuntu: apt-get install openjdk-17-jre-headless) "
    "and put it on PATH or name its folder in JAVA_HOME."
)


class JavaError(RuntimeError):
    """Java, Maven or the jars are missing; the text says what to do."""


def java() -> str:
    """Path of the Java interpreter, from JAVA_HOME or PATH. Raises JavaError when there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise JavaError(f"The embedded Kafka broker needs Java, and none was found through {where}. {JAVA_HELP}")
    return found


def java_version(interpreter: str) -> int:
    """The major version of a Java interpreter, e.g. 17."""
    shown = subprocess.run([interpreter, "-version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r'version "(?:1\.)?(\d+)', shown.stderr + shown.stdout)
    if match is None:
        raise JavaError(f"{interpreter} does not say its version: {shown.stderr.strip()!r}. {JAVA_HELP}")
    return int(match[1])


def library(home: Path) -> Path:
    """The folder of libraries shared by the instances of this machine.

    A checkout keeps them beside its code, whatever home an instance has: homes come and go, 45 MB of jars need not.
    """
    checkout = Path(__file__).resolve().parents[2]
    return (checkout / ".watchfloor" if (checkout / "pyproject.toml").exists() else home) / "lib"


def jars(home: Path) -> Path:
    """The folder of Kafka's jars; fetches them when they are not there yet. Raises JavaError when that fails.

    WATCHFLOOR_JARS names a folder to use as it is (machines without network access).
    """
    given = os.environ.get("WATCHFLOOR_JARS")
    folder = Path(given) if given else library(home) / f"kafka-{KAFKA_VERSION}"
    if any(folder.glob("kafka_*.jar")):
        return folder
    if given:
        raise JavaError(f"WATCHFLOOR_JARS={given} holds no Kafka jars (kafka_2.13-{KAFKA_VERSION}.jar and others).")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Fetches the jars with Maven; the folder appears at once and whole, or not at all."""
    maven = shutil.which("mvn")
    if maven is None:
        raise JavaError(
            f"Kafka's jars are not in {folder}, and Maven (mvn), which fetches them, was not found on PATH. "
            "Run deploy/setup.sh, or install Maven (Debian, Ubuntu: apt-get install maven)."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as temporary:
        command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={temporary}/jars"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=temporary)
        if done.returncode != 0:
            raise JavaError(
                f"Maven could not fetch Kafka {KAFKA_VERSION} (code {done.returncode}); is the network reachable? "
                f"It can be tried again at any time.\n{(done.stdout + done.stderr)[-2000:]}"
            )
        (Path(temporary) / "jars").rename(folder)


if __name__ == "__main__":
    print(jars(Path(".watchfloor")))
