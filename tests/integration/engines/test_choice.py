"""The choice of the engine, with small programs in the place of dotnet, docker, python3 and lean."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve

from server.core.errors import ToolMissingError
from server.core.secret import Secret
from server.engines.choose import EngineChoice, choose_engine, engine_overview
from server.engines.lean_cli import CliEngine
from server.engines.smoke import SmokeEngine
from server.engines.status import EngineProbes
from server.settings import Settings
from server.trading_calendar import USEquityTradingCalendar
from tests.support.engine_programs import (
    runtime_config,
    write_docker,
    write_dotnet,
    write_launcher,
    write_python,
    write_reference,
)
from tests.support.lean_workspace import DAYS, NOW, write_program
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts")


@pytest.fixture
def machine(workspace: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """A workspace with `lean` and a Docker that lacks LEAN's image; `environ` and `settings` can be changed."""
    workspace.log = write_docker(workspace.bin / "docker", None)
    workspace.environ = {"PATH": str(workspace.bin), "HOME": str(tmp_path / "home")}
    workspace.settings = Settings(data_folder=workspace.data)
    workspace.image = tmp_path / "image"
    return workspace


@pytest.fixture
def choose(machine: SimpleNamespace) -> Callable[..., EngineChoice]:
    """Choose an engine on the machine."""
    calendar = USEquityTradingCalendar(DAYS, {}, date(2024, 12, 31))

    def choose_on_machine(wanted: str = "auto", **changes: object) -> EngineChoice:
        arguments: dict[str, object] = {
            "project": machine.project,
            "settings": machine.settings,
            "calendar": calendar,
            "clock": lambda: NOW,
            "environ": machine.environ,
        }
        return choose_engine(wanted, **(arguments | changes))

    return choose_on_machine


@pytest.fixture
def native(machine: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """The machine with launcher, dotnet and a python3 that imports pandas and numpy."""
    machine.launcher = write_launcher(tmp_path / "Lean" / "Launcher" / "bin" / "Debug")
    machine.environ["LEAN_LAUNCHER"] = str(machine.launcher)
    write_dotnet(machine.bin / "dotnet")
    write_python(machine.bin / "python3")
    return machine


def probes(machine: SimpleNamespace, **changes: object) -> EngineProbes:
    return EngineProbes(settings=machine.settings, environ=machine.environ, **({"project": machine.project} | changes))


def test_auto_takes_the_cli_where_only_that_can_run(choose, machine: SimpleNamespace) -> None:
    """Docker without the image, and LEAN's CLI, which fetches the image itself; the reason names all of it."""
    choice = choose()

    assert isinstance(choice.engine, CliEngine)
    assert choice.why.startswith("lean-cli: ")
    assert "lean-native cannot run: LEAN's launcher was not found" in choice.why
    image = "Docker has no image quantconnect/lean:latest (docker pull quantconnect/lean:latest)"
    assert f"lean-docker cannot run: {image}" in choice.why
    assert choice.reference_sources == ()


def test_docker_is_asked_once(choose, machine: SimpleNamespace) -> None:
    """However many engines need it."""
    choose()

    assert machine.log.read_text().splitlines() == [
        "version --format {{.Server.Version}}",
        "image inspect --format {{.Id}} quantconnect/lean:latest",
    ]


@pytest.mark.parametrize(
    ("lacking", "text"),
    [
        ("lean.json", "there is no lean.json at or above"),
        ("lean", "LEAN's CLI is not installed (pip install lean"),
        ("docker", "Docker is not installed"),
        ("running docker", "Docker is not running: Cannot connect to the Docker daemon"),
        ("permission", "this user may not use Docker (sudo usermod -aG docker $USER"),
    ],
)
def test_whatever_lean_lacks_is_named(choose, machine: SimpleNamespace, lacking: str, text: str) -> None:
    """auto then takes the smoke test and says why; lean by name is an error that says the same."""
    match lacking:
        case "lean.json":
            (machine.root / "lean.json").unlink()
        case "lean" | "docker":
            (machine.bin / lacking).unlink()
        case "running docker":
            write_program(machine.bin / "docker", "#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")
        case "permission":
            write_program(machine.bin / "docker", "#!/bin/sh\necho permission denied while trying >&2\nexit 1\n")

    choice = choose()

    assert isinstance(choice.engine, SmokeEngine)
    assert choice.why.startswith("the smoke test, since LEAN cannot run here: ")
    assert text in choice.why
    with pytest.raises(ToolMissingError) as caught:
        choose("lean")
    assert str(caught.value).startswith("LEAN cannot run here: ")
    assert text in str(caught.value)


def test_the_nearest_lean_json_serves_a_project_elsewhere(choose, machine: SimpleNamespace, tmp_path: Path) -> None:
    """The settings' lean.json counts only for projects below its folder; for others their own is looked for."""
    other = tmp_path / "other" / "lean.json"
    other.parent.mkdir()
    other.write_text("{}")
    machine.settings = evolve(machine.settings, lean_config=other)

    assert isinstance(choose("lean-cli", settings=machine.settings).engine, CliEngine)
    (machine.root / "lean.json").unlink()
    with pytest.raises(ToolMissingError, match=r"does not lie below the folder of .*other"):
        choose("lean-cli", settings=machine.settings)


def test_a_docker_that_does_not_answer_is_not_waited_for(choose, machine: SimpleNamespace) -> None:
    """It is given three seconds, and the program and its children are ended."""
    write_program(machine.bin / "docker", "#!/bin/sh\nPATH=/usr/bin:/bin\nsleep 60\n")
    began = time.monotonic()

    assert "Docker is not running: no answer within 3 s" in choose().why
    assert time.monotonic() - began < PATIENCE


def test_native_is_ready(native: SimpleNamespace) -> None:
    """Launcher, dotnet with the runtime, and Python: the values that the engine gets."""
    found = probes(native)
    status = found.status("lean-native")

    assert status.lacks == ()
    for part in (f"LEAN's launcher in {native.launcher}", f"dotnet at {native.bin / 'dotnet'} with", "Python 3."):
        assert part in status.found
    assert (found.launcher.folder, found.launcher.dotnet) == (native.launcher, native.bin / "dotnet")
    assert found.launcher.python is not None
    assert found.launcher.python.library.is_file()
    overview = engine_overview(native.settings, environ=native.environ)
    assert (overview.chosen, overview.why) == ("lean-native", f"lean-native: {status.found}")


def test_auto_looks_no_further_than_native(native: SimpleNamespace) -> None:
    """Docker is not asked where the launcher can run."""
    assert probes(native).status("lean-native", first_only=True).ready
    assert not native.log.exists()


@pytest.mark.parametrize(
    ("runtimes", "version", "text"),
    [
        ("Microsoft.NETCore.App 9.0.1 [/d]", "10.0.0", "has Microsoft.NETCore.App 9.0.1"),
        ("Microsoft.AspNetCore.App 10.0.1 [/d]", "10.0.0", "has Microsoft.AspNetCore.App 10.0.1"),
        ("", "10.0.0", "lists no runtime"),
        ("Microsoft.NETCore.App 10.0.1 [/d]", "10.0.5", "Microsoft.NETCore.App 10.0.5"),
    ],
)
def test_the_runtime_is_missing(native: SimpleNamespace, runtimes: str, version: str, text: str) -> None:
    """The lack names what is needed and what there is, and the command that installs it."""
    config = native.launcher / "QuantConnect.Lean.Launcher.runtimeconfig.json"
    config.write_text(runtime_config(version))
    write_dotnet(native.bin / "dotnet", runtimes)

    (lack,) = probes(native).status("lean-native").lacks

    assert lack.what.startswith(f"dotnet has no runtime Microsoft.NETCore.App {version}: ")
    assert text in lack.what
    assert lack.fix.endswith("--channel 10.0 --runtime dotnet")


def test_another_dotnet_has_the_runtime(native: SimpleNamespace, tmp_path: Path) -> None:
    """The first one that has it is taken: of the PATH, $DOTNET_ROOT, ~/.dotnet."""
    write_dotnet(native.bin / "dotnet", "Microsoft.NETCore.App 8.0.0 [/d]")
    write_dotnet(tmp_path / "home" / ".dotnet" / "dotnet")
    assert probes(native).launcher.dotnet == tmp_path / "home" / ".dotnet" / "dotnet"

    write_dotnet(tmp_path / "root" / "dotnet")
    native.environ["DOTNET_ROOT"] = str(tmp_path / "root")
    assert probes(native).launcher.dotnet == tmp_path / "root" / "dotnet"


@pytest.mark.parametrize(("missing", "named"), [("pandas", "pandas"), ("numpy", "numpy"), ("pandas numpy", "numpy")])
def test_a_python_without_packages(native: SimpleNamespace, missing: str, named: str) -> None:
    """The lack names the package and the command that installs it."""
    write_python(native.bin / "python3", missing)

    (lack,) = probes(native).status("lean-native").lacks

    assert f"cannot import {named} (" in lack.what
    assert lack.fix.endswith("-m pip install pandas numpy")


def test_python_that_fails(native: SimpleNamespace) -> None:
    """One line, whatever it does."""
    for text, problem in (
        ("echo broken >&2; exit 3", "cannot be used: broken"),
        ("kill -9 $$", "ended with code"),
        ("true", "it did not answer"),
    ):
        write_program(native.bin / "python3", f"#!/bin/sh\n{text}\n")
        (lack,) = probes(native).status("lean-native").lacks
        assert problem in lack.what
    (native.bin / "python3").write_bytes(b"\x7fELF no program")
    (lack,) = probes(native).status("lean-native").lacks
    assert "cannot be run (" in lack.what


def test_all_lacks_at_once(machine: SimpleNamespace, tmp_path: Path) -> None:
    """Not only the first one."""
    machine.environ["PATH"] = str(tmp_path / "empty")
    missing = [lack.what for lack in probes(machine).status("lean-native").lacks]

    assert missing[0] == "LEAN's launcher was not found"
    assert missing[-1] == "there is no python3 on the PATH"
    assert len(missing) == 3


def test_csharp_needs_an_sdk_and_no_python(native: SimpleNamespace) -> None:
    """Whatever Python lacks does not concern it."""
    (native.bin / "python3").unlink()
    (native.project / "main.py").unlink()
    (native.project / "Strategy.csproj").write_text("<Project/>")

    (lack,) = probes(native).status("lean-native").lacks
    assert "no SDK 10.0" in lack.what
    write_dotnet(native.bin / "dotnet", sdks="10.0.100 [/d/sdk]")
    found = probes(native)
    assert found.status("lean-native").ready
    assert found.launcher.python is None


def test_docker_with_the_image(machine: SimpleNamespace) -> None:
    """Docker that answers and has the image is all that lean-docker needs."""
    write_reference(machine.image / "Lean" / "Data")
    write_docker(machine.bin / "docker", machine.image)
    found = probes(machine)
    status = found.status("lean-docker")

    assert status.ready
    assert status.found == f"Docker 27.0.1 at {machine.bin / 'docker'}, the image quantconnect/lean:latest"
    assert (found.docker, found.image) == (machine.bin / "docker", "quantconnect/lean:latest")


def test_programs_that_are_asked_get_no_key(choose, machine: SimpleNamespace, tmp_path: Path) -> None:
    """Neither the vendor's key nor the server's token is in their environment."""
    write_program(machine.bin / "docker", f"#!/bin/sh\n/usr/bin/env > {tmp_path}/seen\nexit 1\n")
    machine.environ |= {"POLYGON_API_KEY": "s3cr3t", "BACKTEST_SERVER_TOKEN": "t0ken", "OTHER": "kept"}
    machine.environ["MASSIVE_API_KEY"] = "another key"

    choose(environ=machine.environ, secrets=[Secret("s3cr3t")])

    seen = (tmp_path / "seen").read_text()
    assert "another key" not in seen
    assert "s3cr3t" not in seen
    assert "t0ken" not in seen
    assert "OTHER=kept" in seen
