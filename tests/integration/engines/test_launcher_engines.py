"""The engines that run LEAN's launcher, natively and in Docker: what the process is given, and how it is stopped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError, ToolFailedError, ToolMissingError
from server.core.secret import Secret
from server.engines import lean_docker, lean_native
from server.engines.base import Engine, EngineRequest, EngineResult
from server.engines.launcher import Launcher, PythonRuntime
from server.engines.lean_docker import DockerEngine
from server.engines.lean_native import NativeEngine
from server.engines.lean_options import LeanOptions
from server.lean.series import Resolution
from tests.support import small_launcher
from tests.support.lean_workspace import DAYS, NOW, write_minute, write_program
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts")

IMAGE = "quantconnect/lean:latest"
KEY = "Abcdefgh12345678"
FIRST = "2024-02-01_12-30-15"


@pytest.fixture
def rig(tmp_path: Path) -> SimpleNamespace:
    """A project, a data folder, and a ``dotnet`` and a ``docker`` that record what they are given."""
    seen, project, data = tmp_path / "seen", tmp_path / "work" / "My Project", tmp_path / "market data"
    for folder in (seen, project, tmp_path / "launcher", tmp_path / "python"):
        folder.mkdir(parents=True)
    (seen / "mode").write_text("ok")
    (project / "main.py").write_text("class Strategy(QCAlgorithm):\n    pass\n")
    write_minute(data, "spy", DAYS[0])
    for name in ("dotnet", "docker"):
        source = f'#!/bin/sh\nexec {sys.executable} {small_launcher.__file__} {seen} {name} "$@"\n'
        write_program(tmp_path / name, source)
    write_program(tmp_path / "python" / "python3.11", "#!/bin/sh\n")
    return SimpleNamespace(root=tmp_path, seen=seen, project=project, data=data, workspace=tmp_path / "work")


def records(rig: SimpleNamespace, name: str) -> list[Any]:
    path = rig.seen / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def native(rig: SimpleNamespace, options: LeanOptions) -> NativeEngine:
    python = PythonRuntime(
        executable=rig.root / "python" / "python3.11", library=Path("/usr/lib/libpython3.11.so"), version="3.11.2"
    )
    launcher = Launcher(folder=rig.root / "launcher", dotnet=rig.root / "dotnet", python=python)
    environ = {"PATH": "/usr/bin:/bin", "POLYGON_API_KEY": KEY, "OTHER": KEY, "BACKTEST_SERVER_TOKEN": "t"}
    return NativeEngine(launcher, options, lambda: NOW, environ)


def docker(rig: SimpleNamespace, options: LeanOptions) -> DockerEngine:
    environ = {"PATH": "/usr/bin:/bin", "MASSIVE_API_KEY": KEY, "OTHER": KEY, "BACKTEST_SERVER_TOKEN": "t"}
    return DockerEngine(rig.root / "docker", IMAGE, options, lambda: NOW, environ)


BOTH = pytest.mark.parametrize("engine", [native, docker])
Build = Callable[[SimpleNamespace, LeanOptions], Engine]


def run(rig: SimpleNamespace, engine: Build, *, cancel_on: str = "", **changes: Any) -> EngineResult:
    """Run a backtest; a line with `cancel_on` cancels it."""
    options = LeanOptions(
        workspace=rig.workspace, live_stream=False, time_limit=changes.pop("time_limit", 60), secrets=(Secret(KEY),)
    )
    cancel = CancelToken()
    request = EngineRequest(
        project=changes.pop("project", rig.project),
        symbols=("SPY",),
        resolution=Resolution.MINUTE,
        start=DAYS[0],
        end=DAYS[-1],
        data_folder=rig.data,
        days=DAYS,
    )
    return engine(rig, options).run(
        request, cancel=cancel, on_line=lambda line: cancel.cancel() if cancel_on and cancel_on in line else None
    )


@BOTH
def test_the_result_is_in_the_run_folder(rig: SimpleNamespace, engine: Build) -> None:
    """LEAN's files lie in the project's folder, where only the user reads them; the verdict comes with the result."""
    result = run(rig, engine)

    assert result.engine == ("lean-native" if engine is native else "lean-docker")
    assert result.results_folder == rig.project / "backtests" / FIRST
    assert (result.bars, result.statistics["Net Profit"]) == (42, "1.500%")
    assert (result.verdict or "").startswith("complete")
    assert result.lean_run is not None
    assert result.results_folder.stat().st_mode & 0o777 == 0o700
    assert KEY not in "".join(path.read_text() for path in result.results_folder.glob("*.*"))


def test_what_dotnet_is_given(rig: SimpleNamespace) -> None:
    """The launcher with the run's config, in a folder of its own, with its Python first on the PATH and no key."""
    result = run(rig, native)

    folder = result.results_folder
    assert folder is not None
    (call,) = records(rig, "dotnet")
    assert call["argv"] == [
        f"{rig.root}/launcher/QuantConnect.Lean.Launcher.dll", "--config", f"{folder}/config.json"
    ]  # fmt: skip
    assert call["cwd"] == f"{folder}/work"
    environ = call["environ"]
    assert environ["PATH"] == f"{folder}/work/bin:/usr/bin:/bin"
    assert (folder / "work/bin/python3").readlink() == rig.root / "python" / "python3.11"
    assert environ["PYTHONNET_PYDLL"] == "/usr/lib/libpython3.11.so"
    assert environ["PYTHONDONTWRITEBYTECODE"] == "1"
    assert not {"POLYGON_API_KEY", "OTHER", "BACKTEST_SERVER_TOKEN"} & environ.keys()
    (config,) = records(rig, "config")
    assert config["algorithm-location"] == f"{rig.project}/main.py"
    assert config["algorithm-type-name"] == "Strategy"
    assert config["data-folder"] == str(rig.data)
    assert config["results-destination-folder"] == str(folder)
    assert config["object-store-root"] == f"{folder}/storage"


def test_what_docker_is_given(rig: SimpleNamespace) -> None:
    """Folders of this machine, read-only but for the run's; the paths of the config are those of the container."""
    (rig.workspace / "storage").mkdir()
    (rig.workspace / "Library" / "One").mkdir(parents=True)
    (rig.root / "elsewhere").mkdir()
    (rig.project / "config.json").write_text('{"libraries": ["Library/One", "../elsewhere"], "parameters": {"a": 1}}')

    result = run(rig, docker)

    (call,) = records(rig, "docker")
    (config,) = records(rig, "config")
    name = f"backtest-server-{config['algorithm-id']}"
    assert call["argv"] == [
        "run", "--rm", "--pull=never", "--name", name,
        "-v", f"{result.results_folder}:/Results",
        "-v", f"{rig.project}:/LeanCLI:ro",
        "-v", f"{rig.data}:/Lean/Data:ro",
        "-v", f"{rig.workspace}/storage:/Storage",
        "-v", f"{rig.workspace}/Library:/Library:ro",
        "-v", f"{rig.root}/elsewhere:/Libraries/1:ro",
        IMAGE, "--config", "/Results/config.json",
    ]  # fmt: skip
    assert not {"MASSIVE_API_KEY", "OTHER", "BACKTEST_SERVER_TOKEN"} & call["environ"].keys()
    assert config["algorithm-location"] == "/LeanCLI/main.py"
    assert config["data-folder"] == "/Lean/Data"
    assert config["results-destination-folder"] == "/Results"
    assert config["object-store-root"] == "/Storage"
    assert config["python-additional-paths"] == ["/Lean/Launcher/bin/Debug", "/Library/One", "/Libraries/1"]
    assert config["parameters"]["a"] == "1"


@BOTH
def test_two_runs_of_one_second_do_not_meet(rig: SimpleNamespace, engine: Build) -> None:
    """Folder, id, object store and working folder differ."""
    first, second = run(rig, engine), run(rig, engine)

    assert first.results_folder != second.results_folder
    one, two = records(rig, "config")
    assert one["algorithm-id"] != two["algorithm-id"]


@BOTH
def test_csharp_is_built_first(rig: SimpleNamespace, engine: Build) -> None:
    """Into the run's folder, which does not keep it; the class has its namespace."""
    (rig.project / "main.py").unlink()
    (rig.project / "Main.cs").write_text("namespace Shop { class Strategy : QCAlgorithm { } }")
    (rig.project / "Shop.csproj").write_text("<Project/>")

    result = run(rig, engine)

    (config,) = records(rig, "config")
    inside = "/Results" if engine is docker else str(result.results_folder)
    assert config["algorithm-location"] == f"{inside}/work/build/Shop.dll"
    assert (config["algorithm-language"], config["algorithm-type-name"]) == ("CSharp", "Shop.Strategy")
    assert result.results_folder is not None
    assert list((result.results_folder / "work").iterdir()) == []
    assert sorted(path.name for path in rig.project.iterdir()) == ["Main.cs", "Shop.csproj", "backtests"]


@BOTH
def test_csharp_that_does_not_compile(rig: SimpleNamespace, engine: Build) -> None:
    """The first error of the compiler with its file and line; LEAN is not started, and no folder is left."""
    (rig.project / "main.py").unlink()
    (rig.project / "Main.cs").write_text("namespace Shop { class Strategy : QCAlgorithm { } }")
    (rig.project / "Shop.csproj").write_text("<Project/>")
    (rig.seen / "mode").write_text("no-build")

    with pytest.raises(ToolFailedError, match=r"Shop.csproj does not compile: CS0103: .* \(Main.cs, line 12\)"):
        run(rig, engine)

    assert records(rig, "config") == []
    assert list((rig.project / "backtests").iterdir()) == []


@BOTH
def test_a_cancel_is_an_interrupt_first(rig: SimpleNamespace, engine: Build) -> None:
    """LEAN has time to end; its folder stays; the container is gone afterwards."""
    (rig.seen / "mode").write_text("interrupted")

    with pytest.raises(Cancelled):
        run(rig, engine, cancel_on="ready")

    assert records(rig, "signal") == [2]
    assert (rig.project / "backtests" / FIRST / "log.txt").is_file()
    if engine is docker:
        assert [call["argv"][0] for call in records(rig, "docker")] == ["run", "kill", "rm"]


@BOTH
def test_lean_that_ignores_the_interrupt_is_terminated(
    rig: SimpleNamespace, engine: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does before its first bar."""
    monkeypatch.setattr(lean_native, "NATIVE_INTERRUPT_GRACE", 0.3)
    monkeypatch.setattr(lean_docker, "CONTAINER_INTERRUPT_GRACE", 0.3)
    (rig.seen / "mode").write_text("ignore")
    began = time.monotonic()

    with pytest.raises(Cancelled):
        run(rig, engine, cancel_on="ready")

    assert records(rig, "signal") == [15]
    assert time.monotonic() - began < PATIENCE


@BOTH
def test_a_time_limit_stops_it_too(rig: SimpleNamespace, engine: Build) -> None:
    """The error says so and where its output is."""
    (rig.seen / "mode").write_text("interrupted")

    with pytest.raises(ToolFailedError, match="was stopped: it had not ended after 2 s; what it wrote until then is"):
        run(rig, engine, time_limit=2)


@BOTH
def test_an_abort_without_results_shows_its_exception(rig: SimpleNamespace, engine: Build) -> None:
    """On one line; a folder that has nothing of LEAN is not left."""
    (rig.seen / "mode").write_text("fail")

    with pytest.raises(ToolFailedError, match="LEAN failed: no luck"):
        run(rig, engine)

    assert list((rig.project / "backtests").iterdir()) == []


@pytest.mark.parametrize(
    ("printed", "kind", "text"),
    [
        ("docker: Cannot connect to the Docker daemon at unix:///x.", ToolMissingError, "Docker is not running"),
        ("permission denied while trying to connect to the Docker daemon", ToolMissingError, "may not use Docker"),
        (f"docker: Error response from daemon: No such image: {IMAGE}", ToolMissingError, f"docker pull {IMAGE}"),
        ("docker: invalid reference format", ConfigurationError, "correct the setting lean-engine-image"),
        ("docker: odd\n\nRun 'docker run --help' for more information", ToolFailedError, "exit code 125: docker: odd"),
    ],
)
def test_a_docker_that_cannot_run_it(
    rig: SimpleNamespace, printed: str, kind: type[BacktestServerError], text: str
) -> None:
    """The error says what to do."""
    (rig.seen / "mode").write_text("error")
    (rig.seen / "error").write_text(printed)

    with pytest.raises(kind) as caught:
        run(rig, docker)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_dotnet(rig: SimpleNamespace) -> None:
    """Nothing is left behind."""
    (rig.root / "dotnet").unlink()

    with pytest.raises(ToolMissingError, match="dotnet was not found"):
        run(rig, native)

    assert list((rig.project / "backtests").iterdir()) == []


def test_a_path_that_lean_cannot_import_from(rig: SimpleNamespace) -> None:
    """LEAN writes its paths into Python source, between quotes."""
    project = rig.project.rename(rig.workspace / "Bob's project")

    with pytest.raises(ConfigurationError, match="the path has a ' in it; rename that folder"):
        run(rig, native, project=project)
    assert run(rig, docker, project=project).bars == 42


def test_the_stream_of_a_container_is_published_on_the_loopback_only(rig: SimpleNamespace) -> None:
    """By default where pyzmq is installed; natively it is off, since LEAN binds all interfaces."""
    pytest.importorskip("zmq")
    for engine, argument in ((docker, True), (native, False)):
        options = LeanOptions(workspace=rig.workspace)
        request = EngineRequest(
            project=rig.project,
            symbols=("SPY",),
            resolution=Resolution.MINUTE,
            start=DAYS[0],
            end=DAYS[-1],
            data_folder=rig.data,
            days=DAYS,
        )
        engine(rig, options).run(request, cancel=CancelToken(), on_line=lambda line: None)
        config = records(rig, "config")[-1]
        assert ("desktop-http-port" in config) is argument
    argv = records(rig, "docker")[0]["argv"]
    port = records(rig, "config")[0]["desktop-http-port"]
    assert argv[argv.index("-p") + 1] == f"127.0.0.1:{port}:{port}"
