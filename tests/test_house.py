"""The rules of the house that no other tool checks: who imports whom, what no file may hold, help everywhere."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from watchfloor.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
# Each package may import itself, those named here, and what those may import.
BENEATH = {
    "schemas": set[str](),
    "models": {"schemas"},
    "streams.runtime": {"schemas"},
    "streams": {"models", "streams.runtime"},
    "sinks": {"models"},
    "producers": {"models"},
    "jobs": {"streams", "sinks", "producers"},
    "watchfloor": {"jobs"},
}
EVERYWHERE = {"benchmarks", "tests"}
# They run code that is in the data.
UNSAFE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
MACHINE_PATHS = re.compile(r"(?<![\w.$}~])/(root|home|Users|work)/\w")
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|repo1?\.maven|maven\.org|registry\.npmjs|proxy\.golang|crates\.io/api"
)


def tracked() -> list[Path]:
    """Every file of the repository; of a copy without its history, every file outside hidden and built folders."""
    names: list[str] = []
    if shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
        names = listed.stdout.split("\0")
    files = [ROOT / name for name in names if name] or [
        path
        for path in ROOT.rglob("*")
        if not any(part.startswith(".") or part in ("build", "__pycache__") for part in path.relative_to(ROOT).parts)
    ]
    return [path for path in files if path.is_file()]


TRACKED = tracked()
PYTHON = [path for path in TRACKED if path.suffix == ".py"]


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from streams import runtime` imports streams.runtime.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def home(name: str) -> str | None:
    """The package of BENEATH that a module belongs to, the longest name first."""
    for package in sorted(BENEATH, key=len, reverse=True):
        if f"{name}.".startswith(f"{package}."):
            return package
    return None


def allowed(package: str) -> set[str]:
    return {package}.union(*(allowed(below) for below in BENEATH[package]))


@pytest.mark.parametrize("package", BENEATH)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in PYTHON
        if home(module(path)) == package
        for name in imports(path)
        if (home(name) or package) not in allowed(package) or name.split(".")[0] in EVERYWHERE
    ]
    assert wrong == []


def test_every_package_has_its_place() -> None:
    """A new folder with code must say where in the order of imports it stands."""
    folders = {path.relative_to(ROOT).parts[0] for path in PYTHON if len(path.relative_to(ROOT).parts) > 1}
    assert folders == {name.split(".")[0] for name in BENEATH} | EVERYWHERE


def test_nothing_loads_data_that_is_code() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in PYTHON
        for name in imports(path)
        if name.split(".")[0] in UNSAFE
    ]
    assert wrong == []


def test_no_file_knows_this_machine_or_a_registry() -> None:
    wrong = []
    for path in TRACKED:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # data
        for number, line in enumerate(text.splitlines(), 1):
            found = MACHINE_PATHS.search(line) or REGISTRIES.search(line)
            if found and path != Path(__file__):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {found[0]}")
    assert wrong == []


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from commands(below, click.Context(below, info_name=name, parent=context))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    top = click.Context(main, info_name="watchfloor")
    command = main.get_command(top, name)
    assert command is not None
    for path, each in commands(command, click.Context(command, info_name=name, parent=top)):
        assert each.help, path
        assert "Usage: " in each.get_help(click.Context(each, info_name=path))
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.opts[-1]}"
