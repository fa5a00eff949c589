"""Our command lines and our private files with the real LEAN CLI; nothing is sent to a network."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import ToolMissingError
from server.core.subprocess_runner import CommandOutcome
from server.engines.base import EngineRequest
from server.engines.cli_workspace import run_settings
from server.engines.lean_cli import CliEngine
from server.engines.lean_options import LeanOptions
from server.lean.series import Resolution, Series
from server.plugins.lean_cli_provider.commands import Run, download_argv
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.diagnosis import fatal_error
from tests.support.lean_workspace import DAYS, LEAN_JSON, NOW, workspace_files
from tests.support.real_lean_cli import RealCli, docker_without_images, install_real_cli
from tests.support.stand_in_lean.reference_files import write_reference_files

pytestmark = [
    pytest.mark.lean_cli,
    pytest.mark.skipif(sys.platform == "win32", reason="the program lean is a script"),
]

NOTED = """#!/bin/sh
for argument in "$@"; do printf '%s\\n' "$argument"; done >"{log}"
pwd >"{log}.cwd"
cp -r . "{log}.folder"
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealCli:
    """The real CLI, with the list of modules that it would fetch."""
    return install_real_cli(tmp_path_factory.mktemp("real"), os.environ)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a project, a config.json with a comment, and a data folder."""
    root = tmp_path / "workspace"
    (root / "Strategy").mkdir(parents=True)
    (root / "Strategy" / "main.py").write_text("from AlgorithmImports import *\n")
    (root / "Strategy" / "config.json").write_text('{"parameters": {"ema-fast": 10}} // mine')
    (root / "lean.json").write_text(LEAN_JSON)
    write_reference_files(root / "data")
    return root


@pytest.fixture
def docker_host() -> Iterator[str]:
    """A Docker without images; the path of a local socket must be short."""
    folder = Path(tempfile.mkdtemp())
    with docker_without_images(folder / "d.sock") as host:
        yield host
    shutil.rmtree(folder)


def run(workspace: Path, executable: Path, docker: str = "unix:///no/docker.sock") -> None:
    """Run a backtest with this program."""
    engine = CliEngine(
        workspace / "lean.json",
        LeanOptions(workspace=workspace),
        lambda: NOW,
        {"PATH": os.defpath, "DOCKER_HOST": docker},
        executable=str(executable),
    )
    request = EngineRequest(
        project=workspace / "Strategy",
        symbols=("SPY",),
        resolution=Resolution.MINUTE,
        start=DAYS[0],
        end=DAYS[-1],
        data_folder=workspace / "data",
        days=DAYS,
    )
    engine.run(request, cancel=CancelToken(), on_line=lambda line: None)


def everything(workspace: Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of the user's files."""
    return {
        str(path.relative_to(workspace)): (path.read_bytes(), path.stat().st_mode)
        for path in workspace.rglob("*")
        if path.is_file() and ".backtest-server-runs" not in path.parts
    }


def test_the_backtest_command_is_parsed(real: RealCli, workspace: Path, tmp_path: Path) -> None:
    """Each option is known, and has the value that we mean."""
    log, noted = tmp_path / "argv", tmp_path / "noted"
    noted.write_text(NOTED.format(log=log))
    noted.chmod(0o755)
    with suppress(Exception):
        run(workspace, noted)
    words, cwd = log.read_text().splitlines(), Path(log.with_name("argv.cwd").read_text().strip())
    shutil.copytree(f"{log}.folder", cwd, symlinks=True)  # it was removed after the run

    parameters = real.parse(*words, cwd=cwd)

    assert parameters["project"] == str(cwd / "Strategy")
    assert parameters["output"] == str(cwd / "Strategy/backtests/2024-02-01_12-30-15")
    assert parameters["data_provider_historical"] == "Local"
    assert (parameters["no_update"], parameters["update"], parameters["detach"]) == (True, False, False)
    assert dict(parameters["parameter"]) == {
        "ema-fast": "10",
        "backtest-symbols": "SPY",
        "backtest-resolution": "minute",
        "backtest-start": "2024-01-08",
        "backtest-end": "2024-01-10",
    }


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.SECOND, Resolution.DAILY])
def test_the_download_command_is_parsed(real: RealCli, tmp_path: Path, resolution: Resolution) -> None:
    """Each option is known, and has the value that we mean; an unknown one would be passed on without an error."""
    (tmp_path / "lean.json").write_text('{"data-folder": "data", "organization-id": "abc"}')
    wanted = {Series(symbol, resolution): (date(2024, 1, 2), date(2024, 1, 5)) for symbol in ("SPY", "BRK.B")}
    argv = download_argv("lean", LeanCliConfig(image="my/lean:1"), Run(wanted=wanted), str(tmp_path / "lean.json"))

    parameters = real.parse(*argv[1:], cwd=tmp_path)

    assert (
        parameters.items()
        >= {
            "data_provider_historical": "Polygon",
            "polygon_license_type": "Individual",
            "data_type": "Trade",
            "resolution": resolution.value.capitalize(),
            "security_type": "Equity",
            "market": "USA",
            "ticker": "SPY,BRK.B",
            "start": "20240102",
            "end": "20240107",
            "image": "my/lean:1",
            "no_update": True,
            "update": False,
        }.items()
    )


def test_a_missing_image_is_named(real: RealCli, workspace: Path, docker_host: str) -> None:
    """The CLI pulls nothing; nothing of the user's changes, whatever it does to what it is given."""
    before = everything(workspace)

    with pytest.raises(ToolMissingError, match=r"run: docker pull quantconnect/lean:latest$"):
        run(workspace, real.executable, docker_host)

    assert everything(workspace) == before
    assert workspace_files(workspace) == [".backtest-server-runs", "Strategy", "data", "lean.json", "storage"]


def test_a_docker_that_is_not_running_is_named(real: RealCli, workspace: Path) -> None:
    """As before, in the CLI's words of today."""
    with pytest.raises(ToolMissingError, match="Docker is not running"):
        run(workspace, real.executable)


def test_a_missing_list_of_modules_is_named(workspace: Path, tmp_path: Path) -> None:
    """With the cause, here a network that does not answer."""
    real = install_real_cli(tmp_path / "without", os.environ, modules=False)

    with pytest.raises(ToolMissingError, match=r"no list of modules and could not fetch it \(.*NameResolutionError"):
        run(workspace, real.executable)


def test_a_download_without_a_network_is_named(real: RealCli, tmp_path: Path) -> None:
    """The first thing that it does is a question to QuantConnect."""
    (tmp_path / "lean.json").write_text('{"data-folder": "data", "organization-id": "abc"}')
    wanted = {Series("SPY", Resolution.MINUTE): (date(2024, 1, 2),)}
    argv = download_argv("lean", LeanCliConfig(), Run(wanted=wanted), str(tmp_path / "lean.json"))

    printed = real.refused(*argv[1:], cwd=tmp_path)

    error = fatal_error(CommandOutcome(exit_code=1, lines=tuple(printed.splitlines())), 60.0)
    assert isinstance(error, ToolMissingError)
    assert "could not reach www.quantconnect.com" in str(error)


def test_the_cli_does_what_the_stand_ins_do(real: RealCli, workspace: Path) -> None:
    """It makes lean.json readable and deletes a config.json with comments; the key keeps it from the databases."""
    (workspace / "lean.json").write_text(
        json.dumps(run_settings({"organization-id": "abc"}, workspace / "data", "name"))
    )
    (workspace / "lean.json").chmod(0o600)
    words = ("backtest", str(workspace / "Strategy"), "--lean-config", str(workspace / "lean.json"), "--no-update")

    printed = real.refused(*words, cwd=workspace)
    assert "raw.githubusercontent.com" not in printed
    assert json.loads((workspace / "Strategy/config.json").read_text()).keys() == {"local-id"}
    assert (workspace / "lean.json").stat().st_mode & 0o777 == 0o600

    (workspace / "lean.json").write_text(json.dumps({"data-folder": "data", "job-organization-id": "abc"}))
    printed = real.refused(*words, cwd=workspace)
    assert "raw.githubusercontent.com" in printed
    assert (workspace / "lean.json").stat().st_mode & 0o777 == 0o644
    assert "file-database-last-update" in json.loads((workspace / "lean.json").read_text())
