"""The commands engines and lean install, with small programs in the place of docker, dotnet and python3."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, answer_of, wait_until
from tests.support.engine_programs import (
    DLL,
    REFERENCE,
    write_docker,
    write_dotnet,
    write_launcher,
    write_python,
    write_reference,
)
from tests.support.lean_workspace import write_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts")

INSTALLED = Path(".local/share/backtest-server/lean")
FIRST_DATA = "market-hours/market-hours-database.json"


@pytest.fixture
def programs(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the only one of the PATH."""
    folder = command.folder / "bin"
    folder.mkdir()
    for name in ("XDG_DATA_HOME", "DOTNET_ROOT", "LEAN_LAUNCHER"):
        monkeypatch.delenv(name, raising=False)
    command.set(PATH=str(folder), HOME=str(command.folder))
    return folder


@pytest.fixture
def image(command: CommandLine, programs: Path) -> Path:
    """The files of LEAN's image, which docker has."""
    root = command.folder / "image"
    write_launcher(root / "Lean" / "Launcher" / "bin" / "Debug")
    write_reference(root / "Lean" / "Data")
    write_docker(programs / "docker", root)
    return root


# --- engines ---


def test_engines_without_any_program(command: CommandLine, programs: Path) -> None:
    """Each engine with what it lacks and the fix, in words and in JSON; exit 0, and nothing is written."""
    before = command.files()

    words, answer = command.run("engines"), command.run("engines", "--json")
    found = json.loads(answer.out)

    assert (words.code, answer.code) == (0, 0)
    assert list(found) == ["chosen", "why", "engines"]
    assert found["chosen"] == "smoke"
    assert [one["name"] for one in found["engines"]] == ["lean-native", "lean-docker", "lean-cli", "smoke"]
    assert [one["ready"] for one in found["engines"]] == [False, False, False, True]
    for one in found["engines"]:
        assert list(one) == ["name", "ready", "found", "lacks"]
        for lack in one["lacks"]:
            assert list(lack) == ["what", "fix"]
            assert f"lacks: {lack['what']}\n      fix: {lack['fix']}\n" in words.out
    assert words.out.splitlines()[-1] == f"auto chooses {found['why']}"
    assert "\n* smoke" in words.out
    assert command.files() == before


def test_engines_with_a_launcher(command: CommandLine, programs: Path) -> None:
    """The engine that auto chooses, and why; a C# project needs other things."""
    folder = write_launcher(command.folder / "launcher")
    command.set(LEAN_LAUNCHER=str(folder))
    write_dotnet(programs / "dotnet")
    write_python(programs / "python3")
    (command.folder / "Sharp").mkdir()
    (command.folder / "Sharp" / "Sharp.csproj").write_text("")

    found = json.loads(command.run("engines", "--json").out)
    sharp = json.loads(command.run("engines", "Sharp", "--json").out)

    assert (found["chosen"], found["engines"][0]["ready"]) == ("lean-native", True)
    assert found["why"].startswith(f"lean-native: LEAN's launcher in {folder}, dotnet at {programs / 'dotnet'}")
    assert "no SDK" in sharp["engines"][0]["lacks"][0]["what"]


def test_a_wrong_setting_is_a_lack(command: CommandLine, programs: Path) -> None:
    """It is listed with its source; the other engines are listed as well."""
    command.set(BACKTEST_SERVER_LEAN_LAUNCHER="nowhere", BACKTEST_SERVER_LEAN_PYTHON="nopython")

    found = json.loads(command.run("engines", "--json").out)

    launcher, _, python = found["engines"][0]["lacks"]
    assert "environment variable BACKTEST_SERVER_LEAN_LAUNCHER" in launcher["what"]
    assert str(command.folder / "nowhere") in launcher["what"]
    assert "environment variable BACKTEST_SERVER_LEAN_PYTHON" in python["what"]


def test_the_interpreter_of_a_virtual_environment(command: CommandLine, programs: Path) -> None:
    """The setting keeps the link: its target would be the interpreter without the environment's packages."""
    link = command.folder / "venv" / "bin" / "python3"
    link.parent.mkdir(parents=True)
    (command.folder / "venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    link.symlink_to(Path(sys.executable).resolve())
    for setting in ("venv/bin/python3", "venv"):
        command.set(BACKTEST_SERVER_LEAN_PYTHON=setting)
        found = json.loads(command.run("engines", "--json").out)["engines"][0]
        assert f"at {link}" in found["found"]


def test_a_backtest_names_all_that_is_missing(command: CommandLine, programs: Path) -> None:
    """Before anything is downloaded, in one line."""
    project = command.folder / "Strategy"
    (project / "config").mkdir(parents=True)
    (project / "main.py").write_text("")
    (project / "config" / "parameters.py").write_text("symbols = ['SPY']\nstart = '2024-01-02'\nend = '2024-01-05'\n")
    write_docker(programs / "docker", None)

    answer = command.run("backtest", "Strategy", "--engine", "lean-docker")

    assert answer.code == 1
    assert answer.errors == [
        "error: lean-docker cannot run here: lean-docker: Docker has no image quantconnect/lean:latest (docker pull "
        "quantconnect/lean:latest); or choose another engine (backtest-server engines)"
    ]
    command.set(LEAN_LAUNCHER="nowhere")
    answer = command.run("backtest", "Strategy", "--engine", "lean")
    assert answer.code == 2
    (line,) = answer.errors
    assert line.startswith("error: LEAN_LAUNCHER is nowhere (environment variable), but it does not exist; name the")


# --- lean install ---


def test_install(command: CommandLine, programs: Path, image: Path) -> None:
    """Launcher and reference data where the launcher is searched for; what is still needed is printed."""
    answer = command.run("lean", "install")

    assert answer.code == 0, answer.err
    folder = command.folder / INSTALLED
    assert (folder / "Launcher" / "bin" / "Debug" / DLL).is_file()
    for path, text in REFERENCE.items():
        assert (folder / "Data" / path).read_text() == text
    assert f"LEAN's launcher is in {folder / 'Launcher' / 'bin' / 'Debug'}" in answer.out
    assert "still needed: there is no python3 on the PATH" in answer.out
    assert sorted(path.name for path in folder.parent.iterdir()) == ["lean"]
    log = (programs / "docker.log").read_text().splitlines()
    assert log[-1] == f"rm {'0123456789abcdef' * 4}"
    assert not [line for line in log if line.startswith("pull")]
    native = json.loads(command.run("engines", "--json").out)["engines"][0]
    assert f"LEAN's launcher in {folder / 'Launcher' / 'bin' / 'Debug'}" in native["found"]


def test_install_into_a_folder(command: CommandLine, image: Path) -> None:
    """With the image of the option; how to use the folder is printed."""
    answer = command.run("lean", "install", "--to", "my lean", "--image", "quantconnect/lean:latest")

    launcher = command.folder / "my lean" / "Launcher" / "bin" / "Debug"
    assert answer.code == 0, answer.err
    assert f"export LEAN_LAUNCHER='{launcher}'" in answer.out


def test_install_again(command: CommandLine, image: Path) -> None:
    """The new one takes the place of the old one; one that fails leaves the old one as it is."""
    command.run("lean", "install", "--to", "lean")
    dll = command.folder / "lean" / "Launcher" / "bin" / "Debug" / DLL
    (image / "Lean" / "Launcher" / "bin" / "Debug" / DLL).write_bytes(b"newer")
    assert command.run("lean", "install", "--to", "lean").code == 0
    assert dll.read_bytes() == b"newer"

    (image / "Lean" / "Data" / FIRST_DATA).unlink()
    answer = command.run("lean", "install", "--to", "lean")
    assert answer.code == 1
    (line,) = answer.errors
    assert f"the image quantconnect/lean:latest has no Data/{FIRST_DATA} in /Lean" in line
    assert dll.read_bytes() == b"newer"
    assert (command.folder / "lean" / "Data" / FIRST_DATA).is_file()
    assert not [name for name in command.files() if ".part" in name or ".old" in name]


@pytest.mark.parametrize("kind", ["other files", "repository", "file", "link"])
def test_other_folders_are_never_replaced(command: CommandLine, image: Path, kind: str) -> None:
    """Only an installation, an empty folder or nothing."""
    target = command.folder / "target"
    match kind:
        case "other files":
            target.mkdir()
            (target / "thesis.tex").write_text("x")
        case "repository":
            write_launcher(target / "Launcher" / "bin" / "Debug")
        case "file":
            target.write_text("x")
        case "link":
            (command.folder / "elsewhere").mkdir()
            target.symlink_to(command.folder / "elsewhere")
    before = command.files()

    answer = command.run("lean", "install", "--to", "target")

    assert answer.code == 2
    (line,) = answer.errors
    assert str(target) in line
    assert "choose another folder with --to" in line
    assert command.files() == before


def test_docker_that_cannot_be_used(command: CommandLine, programs: Path) -> None:
    """One line each: not installed, not running, not allowed, no such image."""
    for text, part in (
        (None, "Docker is not installed (see https://docs.docker.com/engine/install)"),
        ("echo Cannot connect to the Docker daemon; exit 1", "Docker is not running: Cannot connect"),
        ("echo permission denied while trying; exit 1", "sudo usermod -aG docker $USER"),
    ):
        if text:
            write_program(programs / "docker", f"#!/bin/sh\n{text}\n")
        answer = command.run("lean", "install")
        assert answer.code == 1
        (line,) = answer.errors
        assert part in line
    write_docker(programs / "docker", None)
    answer = command.run("lean", "install", "--image", "no/such")
    assert answer.code == 1
    (line,) = answer.errors
    assert "the image no/such could not be fetched: Error response from daemon: pull access denied" in line
    assert "docker pull no/such" in line
    assert not (command.folder / ".local").exists()


def test_no_space(command: CommandLine, programs: Path, image: Path) -> None:
    """Docker's own reason, the container is removed, and nothing is left."""
    text = (programs / "docker").read_text()
    text = text.replace('elif arguments[0] == "cp":', 'elif arguments[0] == "cp":\n    fail("no space left on device")')
    write_program(programs / "docker", text)

    answer = command.run("lean", "install", "--to", "lean")

    assert answer.code == 1
    (line,) = answer.errors
    assert "no space left on device" in line
    assert not [name for name in command.files() if name.startswith(("lean", ".lean"))]
    assert (programs / "docker.log").read_text().splitlines()[-1].startswith("rm ")


def test_a_folder_that_cannot_be_written(command: CommandLine, image: Path) -> None:
    """One line that names it."""
    (command.folder / "file").write_text("")

    answer = command.run("lean", "install", "--to", "file/lean")

    assert answer.code in (1, 2)
    (line,) = answer.errors
    assert str(command.folder / "file" / "lean") in line


def test_install_is_interrupted(command: CommandLine, programs: Path, image: Path) -> None:
    """Ctrl-C while files are copied: exit 130, nothing is left, and the container is removed."""
    text = (programs / "docker").read_text()
    text = text.replace('elif arguments[0] == "cp":', 'elif arguments[0] == "cp":\n    import time; time.sleep(60)')
    write_program(programs / "docker", text)
    process = command.start("lean", "install", "--to", "lean")
    wait_until(
        lambda: "\ncp " in (programs / "docker.log").read_text() if (programs / "docker.log").exists() else False
    )

    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert answer.code == 130
    assert len(answer.errors) == 1
    assert not [name for name in command.files() if name.startswith(("lean", ".lean"))]
    assert (programs / "docker.log").read_text().splitlines()[-1].startswith("rm ")


def test_help_of_install(command: CommandLine) -> None:
    """Its options are explained."""
    answer = command.run("lean", "install", "--help")

    assert answer.code == 0
    for option in ("--image IMAGE", "--to FOLDER"):
        assert option in answer.out
