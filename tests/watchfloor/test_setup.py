"""deploy/setup.sh on machines that lack something. Nothing is installed here: apt-get is one that only takes notes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("cat", "dirname", "find", "head", "ls", "rm", "sed", "sort", "tr")


class Machine:
    """A checkout with nothing but the script, and a PATH on which only what is put there exists."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        (self.checkout / "deploy").mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "setup.sh", self.checkout / "deploy")
        self.path = folder / "bin"
        self.path.mkdir()
        self.notes = folder / "notes"
        for tool in TOOLS:
            (self.path / tool).symlink_to(str(shutil.which(tool)))
        self.has("id", "echo 1000")
        (self.path / "python3").symlink_to(sys.executable)

    def has(self, name: str, script: str) -> None:
        program = self.path / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def has_java(self, version: str) -> None:
        self.has("java", f"echo 'openjdk version \"{version}\"' >&2")

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "WATCHFLOOR_JARS": str(self.checkout / "no-jars")}
        return subprocess.run(
            [str(self.checkout / "deploy" / "setup.sh"), *options],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    def untouched(self) -> bool:
        return os.listdir(self.checkout) == ["deploy"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_java_it_stops_before_anything_is_half_installed(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1
    assert "Java 17 or newer" in done.stdout
    assert "Maven, mvn" in done.stdout
    assert "nothing was set up" in done.stdout
    assert machine.untouched()


def test_it_names_the_command_of_the_system(machine: Machine) -> None:
    machine.has("apt-get", "exit 99")
    machine.has("apt-cache", 'test "$2" = openjdk-17-jre-headless')
    done = machine.run()
    assert done.returncode == 1
    wanted = "apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless maven"
    assert wanted in done.stdout, "not root: it must not try by itself"


def test_as_root_it_installs_and_goes_on(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("apt-cache", 'test "$2" = openjdk-21-jre-headless')
    machine.has(
        "apt-get",
        f'echo "$@" >>{machine.notes}\n'
        f"if [ $1 = install ]; then printf '#!/bin/sh\\necho version \\\\\"21.0.1 >&2\\n' >{machine.path}/java\n"
        f": >{machine.path}/mvn; {shutil.which('chmod')} +x {machine.path}/java {machine.path}/mvn; fi",
    )
    machine.has("python3", 'case "$*" in -c*) exit 0;; --version) echo Python 3.x;; *) echo "asked: $*"; exit 7;; esac')
    done = machine.run()
    update, install = machine.notes.read_text().splitlines()
    assert update == "update -qq"
    assert install == "install -y -qq --no-install-recommends openjdk-21-jre-headless maven"
    assert "asked: -m venv .venv" in done.stdout
    assert done.returncode == 7


def test_no_apt_is_obeyed(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("apt-get", f'echo "$@" >>{machine.notes}')
    assert machine.run("--no-apt").returncode == 1
    assert not machine.notes.exists()


def test_an_old_java_is_none(machine: Machine) -> None:
    machine.has_java("1.8.0_402")
    machine.has("mvn", "exit 0")
    done = machine.run("--check")
    assert done.returncode == 1
    assert "Java 17 or newer" in done.stdout
    assert "Maven" not in done.stdout


def test_a_python_without_venv_is_none(machine: Machine) -> None:
    machine.has_java("17.0.1")
    machine.has("mvn", "exit 0")
    machine.has("python3", "exit 1")
    done = machine.run("--check")
    assert done.returncode == 1
    assert "Python 3.11 or newer with its venv module" in done.stdout


def test_maven_is_not_asked_for_where_the_jars_are(machine: Machine) -> None:
    machine.has_java("21")
    (machine.checkout / "no-jars").mkdir()
    (machine.checkout / "no-jars" / "kafka_2.13-4.1.1.jar").touch()
    done = machine.run("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "setup: nothing is missing\n"


def test_a_compiler_of_java_is_asked_for_only_for_benchmarks(machine: Machine) -> None:
    machine.has_java("17.0.1")
    machine.has("mvn", "exit 0")
    assert machine.run("--check").returncode == 0
    done = machine.run("--check", "--jdk")
    assert done.returncode == 1
    assert "javac" in done.stdout


def test_an_unknown_option_shows_the_help(machine: Machine) -> None:
    done = machine.run("--yes")
    assert done.returncode == 2
    assert "--no-apt" in done.stdout
    assert machine.untouched()
