"""The stand-ins for Docker and for LEAN's CLI run the stand-in for LEAN's launcher as the real ones run LEAN's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.engines.results import RunState
from tests.support.patience import PATIENCE
from tests.support.stand_in_lean.cli_habits import FETCHED
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_lean.reference_files import HOURS, hours_text
from tests.support.stand_in_runs import DAILY, DAYS, MINUTES, LauncherRun, interrupt, wait_until, write_project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

IMAGE = "quantconnect/lean"
NewRun = Callable[..., LauncherRun]
Docker = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def docker(stand_in: StandIn) -> Docker:
    """Run ``docker`` with these arguments."""

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [str(stand_in.bin / "docker"), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    return run


def in_container(run: LauncherRun, *, read_only_results: bool = False, **changes: Any) -> list[str]:
    """Give a run the paths of a container; returns the command."""
    project = Path(run.config["algorithm-location"])
    run.config |= {
        "algorithm-location": f"/project/{project.name}",
        "data-folder": "/data",
        "results-destination-folder": "/run/results",
        "object-store-root": "/run/storage",
        "python-additional-paths": [],
        **changes,
    }
    volumes = [f"{project.parent}:/project:ro", f"{run.data}:/data:ro"]
    volumes.append(f"{run.folder}:/run" + (":ro" if read_only_results else ""))
    command = ["docker", "run", "--rm", "--name", "lean-1", *(f"--volume={volume}" for volume in volumes)]
    return [*command, IMAGE, "--config", "/run/config.json"]


def test_a_run_in_a_container(new_run: NewRun, docker: Docker) -> None:
    """Files are found through volumes, and named by their paths in the container."""
    run = new_run(MINUTES)
    run.run(argv=in_container(run))

    assert (run.exit_code, run.read().state) == (0, RunState.COMPLETED)
    assert "File not found: /data/equity/usa/minute/spy/20131007_trade.zip" in run.stderr
    assert "Engine.Main(): Analysis Complete." in run.stdout
    assert docker("ps", "--all", "--quiet").stdout == ""


def test_a_container_sees_volumes_and_image_only(new_run: NewRun) -> None:
    """A folder of the host that is no volume does not exist, and that of the image does not have the data."""
    run = new_run(DAILY)
    run.run(argv=in_container(run, **{"data-folder": str(run.data)}))
    assert run.exit_code == 1
    assert run.read().state is RunState.FAILED

    run = new_run(DAILY)
    run.run(argv=in_container(run, **{"data-folder": "/Lean/Data"}))
    assert (run.exit_code, run.read().state) == (0, RunState.COMPLETED)
    assert "equity/usa/daily/spy.zip" in run.listed("failed")


def test_a_read_only_volume_is_not_written(new_run: NewRun) -> None:
    """The run fails."""
    run = new_run(DAILY)
    run.run(argv=in_container(run, read_only_results=True))

    assert run.exit_code not in (0, None)
    assert "Read-only file system" in run.stderr
    assert not run.results.exists()


def test_a_signal_from_another_process_reaches_the_container(new_run: NewRun, docker: Docker) -> None:
    """``docker kill --signal=INT`` interrupts it while bars run."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start(argv=in_container(run))
    wait_until(lambda: (run.results / "run.json").exists())
    assert "lean-1" in docker("ps").stdout

    assert docker("kill", "--signal=INT", "lean-1").returncode == 0

    assert (run.end(process).exit_code, run.read().state) == (0, RunState.INTERRUPTED)
    assert "No such container: lean-1" in docker("kill", "lean-1").stderr


def test_a_signal_to_the_command_is_passed_on(new_run: NewRun) -> None:
    """As Docker does without a terminal."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start(argv=in_container(run))
    wait_until(lambda: (run.results / "run.json").exists())
    interrupt(process)

    assert (run.end(process).exit_code, run.read().state) == (0, RunState.INTERRUPTED)


def test_a_container_outlives_the_command(new_run: NewRun, docker: Docker) -> None:
    """Killing ``docker run`` does not end it; ``docker stop`` and ``docker rm --force`` do."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start(argv=in_container(run))
    wait_until(lambda: (run.results / "run.json").exists())
    interrupt(process, signal.SIGKILL)
    run.end(process)
    assert "lean-1" in docker("ps", "--filter", "name=lean-1").stdout

    assert docker("rm", "-f", "lean-1").returncode == 0
    assert docker("ps", "-q").stdout == ""


def test_exit_codes_of_signals(new_run: NewRun, docker: Docker) -> None:
    """128 and the signal's number."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start(argv=in_container(run))
    wait_until(lambda: (run.results / "run.json").exists())
    docker("stop", "lean-1")
    assert run.end(process).exit_code == 128 + signal.SIGTERM

    run = new_run(DAILY, marker="abort")
    assert run.run(argv=in_container(run)).exit_code == 128 + signal.SIGABRT


def test_the_launcher_is_copied_out_of_the_image(docker: Docker, new_run: NewRun, tmp_path: Path) -> None:
    """``docker create``, ``docker cp``, ``docker rm``; what was copied runs."""
    identifier = docker("create", IMAGE).stdout.strip()
    assert docker("cp", f"{identifier}:/Lean/Launcher/bin/Debug/.", str(tmp_path / "copied")).returncode == 0
    assert docker("cp", f"{identifier}:/Lean/Data/market-hours", str(tmp_path / "copied")).returncode == 0
    assert docker("cp", f"{identifier}:/nothing", str(tmp_path)).returncode == 1
    assert docker("rm", identifier).returncode == 0

    run = new_run(DAILY)
    dll = tmp_path / "copied/QuantConnect.Lean.Launcher.dll"
    assert run.run(argv=["dotnet", str(dll), "--config", str(run.folder / "config.json")]).exit_code == 0
    assert (tmp_path / "copied/market-hours/market-hours-database.json").is_file()


def test_images(docker: Docker, stand_in: StandIn) -> None:
    """One that is missing is pulled by ``pull`` and ``run``, if that is possible."""
    stand_in.behave(images=[], pull=False)
    assert docker("image", "inspect", IMAGE).returncode == 1
    assert docker("create", IMAGE).returncode == 1

    stand_in.behave(pull=True)
    assert docker("pull", IMAGE).returncode == 0
    inspected = docker("image", "inspect", IMAGE)
    assert json.loads(inspected.stdout)[0]["RepoTags"] == [f"{IMAGE}:latest"]


def test_a_daemon_that_does_not_run(docker: Docker, stand_in: StandIn) -> None:
    """Each command but --version says so."""
    assert docker("version", "--format", "{{.Server.Version}}").stdout == "27.0.1\n"

    stand_in.behave(docker="stopped")

    assert docker("--version").returncode == 0
    for command in (["info"], ["version"], ["ps"], ["run", IMAGE]):
        answer = docker(*command)
        assert answer.returncode != 0
        assert "Cannot connect to the Docker daemon" in answer.stderr


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--nothing", "unknown flag"),
        ("--publish=15555:15555", "127.0.0.1:HOST:CONTAINER"),
        ("-v=data:/data", "absolute paths"),
    ],
)
def test_options_that_are_wrong(docker: Docker, option: str, text: str) -> None:
    """Exit 125."""
    answer = docker("run", option, IMAGE)

    assert (answer.returncode, text in answer.stderr) == (125, True)


def test_a_csharp_project_is_built_and_run(stand_in: StandIn, reference_data: Path, tmp_path: Path) -> None:
    """The class is found by its name with a namespace where the DLL has several (fact 5)."""
    project = tmp_path / "Sharp"
    project.mkdir()
    (project / "Sharp.csproj").write_text("<Project><TargetFramework>net10.0</TargetFramework></Project>")
    body = 'SetStartDate(2013, 10, 7); SetEndDate(2013, 10, 11); AddEquity("SPY", Resolution.Daily);'
    source = f"namespace Algos {{ class A : QCAlgorithm {{ {body} }} class B : QCAlgorithm {{ }} }}"
    (project / "Main.cs").write_text(source)
    dotnet = str(stand_in.bin / "dotnet")
    built = subprocess.run(
        [dotnet, "build", str(project), "-o", str(tmp_path / "out")], capture_output=True, check=False
    )
    assert built.returncode == 0
    dll = tmp_path / "out/Sharp.dll"

    run = LauncherRun(stand_in, tmp_path / "run", reference_data, dll, **{"algorithm-type-name": "Algos.A"}).run()
    assert (run.exit_code, run.listed("failed"), run.read().end) == (0, [], DAYS[-1])

    run = LauncherRun(stand_in, tmp_path / "other", reference_data, dll, **{"algorithm-type-name": "C"}).run()
    assert run.exit_code == 1
    assert "Algorithm type name not found" in (run.read().error or "")

    (project / "Main.cs").write_text(f"{source} // stand-in: compiler-error\n")
    built = subprocess.run([dotnet, "build", str(project)], capture_output=True, check=False)
    assert (built.returncode, b"error CS0103" in built.stdout) == (1, True)


FRESH = {"file-database-last-update": "12/31/9999 00:00:00"}


def test_leans_cli(stand_in: StandIn, reference_data: Path, tmp_path: Path) -> None:
    """It rewrites lean.json, config.json and the data's databases, and fails after a run whose output lies outside."""
    write_project(tmp_path / "project", DAILY)
    own = tmp_path / "project/config.json"
    own.write_text('{"parameters": {}} // mine')
    lean_json = tmp_path / "lean.json"
    output = tmp_path / "project/backtests/1"

    def lean(to: Path, **keys: str) -> subprocess.CompletedProcess[str]:
        lean_json.write_text(json.dumps({"data-folder": "data", **keys}))
        lean_json.chmod(0o600)
        options = ["--output", str(to), "--lean-config", str(lean_json), "--data-provider-historical", "Local"]
        command = [str(stand_in.bin / "lean"), "backtest", str(tmp_path / "project"), *options, "--no-update"]
        return subprocess.run(
            [*command, "--parameter", "a", "b"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    assert lean(output, **FRESH).returncode == 0
    assert (reference_data / HOURS).read_text() == hours_text()
    assert lean_json.stat().st_mode & 0o777 == 0o644
    assert json.loads(own.read_text()).keys() == {"local-id"}
    identifier = json.loads((output / "config").read_text())["id"]
    result = json.loads((output / f"{identifier}.json").read_text())
    assert result["algorithmConfiguration"]["parameters"] == {"a": "b"}
    assert (output / "code/main.py").is_file()
    assert stand_in.calls_of("lean")[0]["config"] == {"data-folder": "data", **FRESH}

    elsewhere = Path(os.path.realpath(tmp_path)).parent / f"{tmp_path.name}-outside"
    try:
        assert lean(elsewhere, **FRESH).returncode == 1
        lean(output)
        assert (reference_data / HOURS).read_text() == FETCHED
    finally:
        shutil.rmtree(elsewhere)


def test_recorded_runs_are_replayed(new_run: NewRun, recorded_lean_runs: Path) -> None:
    """Console, files and exit, natively and in a container."""
    recorded = recorded_lean_runs / "python-runtime-error"
    run = new_run(marker="replay python-runtime-error").run()

    assert run.exit_code == 1
    assert (run.stdout, run.stderr) == ((recorded / "stdout.txt").read_text(), (recorded / "stderr.txt").read_text())
    for path in (recorded / "results").iterdir():
        assert (run.results / path.name).read_bytes() == path.read_bytes()

    shutil.rmtree(run.results)
    run = new_run(marker="replay python-terminated-sigterm")
    assert run.run(argv=in_container(run)).exit_code == 128 + signal.SIGTERM
    assert run.read().state is RunState.INTERRUPTED
