"""``lean backtest`` of LEAN's CLI 1.0.230, with its habits (see `cli_habits`) and the launcher in a container."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.stand_in_lean import behaviour, cli_habits, config_check, docker
from tests.support.stand_in_lean.docker_container import Container
from tests.support.stand_in_lean.docker_options import run_options
from tests.support.stand_in_lean.launcher import ASSEMBLY

HANDLERS = {
    "log-handler": "QuantConnect.Logging.CompositeLogHandler",
    "messaging-handler": "QuantConnect.Messaging.Messaging",
    "job-queue-handler": "QuantConnect.Queues.JobQueue",
    "api-handler": "QuantConnect.Api.Api",
    "map-file-provider": "QuantConnect.Data.Auxiliary.LocalDiskMapFileProvider",
    "factor-file-provider": "QuantConnect.Data.Auxiliary.LocalDiskFactorFileProvider",
    "data-provider": "QuantConnect.Lean.Engine.DataFeeds.DefaultDataProvider",
    "object-store": "QuantConnect.Lean.Engine.Storage.LocalObjectStore",
    "data-aggregator": "QuantConnect.Lean.Engine.DataFeeds.AggregationManager",
    "history-provider": ["SubscriptionDataReaderHistoryProvider"],
}
ENVIRONMENT = {
    "live-mode": False,
    "setup-handler": "QuantConnect.Lean.Engine.Setup.BacktestingSetupHandler",
    "result-handler": "QuantConnect.Lean.Engine.Results.BacktestingResultHandler",
    "data-feed-handler": "QuantConnect.Lean.Engine.DataFeeds.FileSystemDataFeed",
    "real-time-handler": "QuantConnect.Lean.Engine.RealTime.BacktestingRealTimeHandler",
    "history-provider": ["SubscriptionDataReaderHistoryProvider"],
    "transaction-handler": "QuantConnect.Lean.Engine.TransactionHandlers.BacktestingTransactionHandler",
}


def main(folder: Path, argv: Sequence[str]) -> int:
    """Run the program; returns the exit code."""
    environ = dict(os.environ)
    if list(argv) == ["--version"]:
        print("lean 1.0.230")
        return 0
    arguments = _parse(argv)
    lean_json = Path(arguments.lean_config).resolve()
    values = json.loads(lean_json.read_text("utf-8"))
    behaviour.note_call(
        folder,
        "lean",
        argv,
        environ,
        config=values,
        mode=f"{lean_json.stat().st_mode & 0o777:o}",
        folder_mode=f"{lean_json.parent.stat().st_mode & 0o777:o}",
    )
    behaviour.refuse_vendor_keys(environ)
    settings = behaviour.read_settings(folder)
    if settings["online"]:
        cli_habits.update_databases(lean_json, values)
    if keys := config_check.vendor_keys(values):
        behaviour.refuse(f"{lean_json} has {', '.join(keys)}, which LEAN must not get")
    if settings["docker"] != "running":
        print(f"Error: Please make sure Docker is installed and running\n{docker.NO_DAEMON}")
        return 1
    project, output = Path(arguments.project), Path(arguments.output)
    root = project if project.is_dir() else project.parent
    cli_habits.add_local_id(root / "config.json")
    image = arguments.image or behaviour.IMAGE
    if image not in settings["images"]:
        print(f"Error: {cli_habits.no_image(image)}")
        return 1
    cli_habits.set_properties(lean_json, {"data-provider": "QuantConnect.Lean.Engine.DataFeeds.DefaultDataProvider"})
    output.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        root, output / "code", ignore=shutil.ignore_patterns("backtests", "__pycache__"), dirs_exist_ok=True
    )
    identifier = f"1{random.randrange(10**9):09}"
    name = values.get("container-name", f"lean_cli_{os.urandom(16).hex()}")
    (output / "config").write_text(json.dumps({"id": identifier, "container": name, "backtest-name": root.name}))
    with tempfile.TemporaryDirectory(prefix="lean-cli-") as scratch:
        _config(Path(scratch), identifier, arguments, values)
        code = _run(folder, name, image, Path(scratch), lean_json.parent, arguments, values["data-folder"])
    stored = output.resolve().relative_to(lean_json.parent)  # fails after the run, as with the CLI
    shown = root.resolve().relative_to(lean_json.parent)
    if code:
        print(
            f"Error: Something went wrong while running '{shown}' in the 'backtesting' environment, the output is "
            f"stored in '{stored}'"
        )
        return 1
    print(f"Successfully ran '{shown}' in the 'backtesting' environment and stored the output in '{stored}'")
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lean", allow_abbrev=False)
    parser.add_argument("command", choices=["backtest"])
    parser.add_argument("project")
    parser.add_argument("--output", required=True)
    parser.add_argument("--lean-config", required=True)
    parser.add_argument("--data-provider-historical", choices=["Local"])
    parser.add_argument("--no-update", action="store_true")
    parser.add_argument("--image")
    parser.add_argument("--backtest-name")
    parser.add_argument("--parameter", nargs=2, action="append", default=[])
    parser.add_argument("--extra-config", nargs=2, action="append", default=[])
    return parser.parse_args(argv)


def _config(scratch: Path, identifier: str, arguments: argparse.Namespace, values: dict[str, Any]) -> None:
    """Write the launcher's configuration, whose paths are those of the container."""
    project = Path(arguments.project).resolve()
    language, location = _algorithm(project, scratch)
    config = {
        **HANDLERS,
        "environment": "backtesting",
        "live-mode": False,
        "debug-mode": False,
        "show-missing-data-logs": True,
        "algorithm-type-name": project.stem if project.is_file() else project.name,
        "algorithm-language": language,
        "algorithm-location": location,
        "data-folder": "/Lean/Data",
        "results-destination-folder": "/Results",
        "algorithm-id": identifier,
        "backtest-name": project.name,
        "close-automatically": True,
        "parameters": dict(arguments.parameter),
        "object-store-root": "/Storage",
        "job-user-id": "0",
        "api-access-token": "",
        "job-organization-id": str(values.get("job-organization-id", "")),
        "python-additional-paths": [],
        "environments": {"backtesting": ENVIRONMENT},
        **dict(arguments.extra_config),
    }
    (scratch / "config.json").write_text(json.dumps(config))


def _algorithm(project: Path, scratch: Path) -> tuple[str, str]:
    """The language and the file in the container of a project; C# is compiled."""
    file = project if project.is_file() else project / "main.py"
    if file.suffix == ".py" and file.exists():
        return "Python", f"/LeanCLI/{file.name}"
    sources = sorted(project.glob("*.cs")) if project.is_dir() else [project]
    dll = scratch / f"{project.stem}.dll"
    dll.write_text(ASSEMBLY + "\n".join(path.read_text("utf-8-sig") for path in sources), "utf-8")
    return "CSharp", f"/Scratch/{dll.name}"


def _run(
    folder: Path, name: str, image: str, scratch: Path, root: Path, arguments: argparse.Namespace, data: str
) -> int:
    """Run the launcher in a container; after SIGINT the container is killed and removed, after SIGTERM it is left."""
    project = Path(arguments.project).resolve()
    storage = root / "storage"
    if not storage.exists():
        storage.mkdir(parents=True)
    volumes = {
        project if project.is_dir() else project.parent: "/LeanCLI",
        root / data: "/Lean/Data",
        Path(arguments.output).resolve(): "/Results",
        storage: "/Storage",
        scratch: "/Scratch",
    }
    mounted = [part for source, target in volumes.items() for part in ("-v", f"{source}:{target}")]
    options = run_options(["--name", name, *mounted, image, "--config", "/Scratch/config.json"])
    container = Container.create(folder, options)

    def kill(number: int, frame: FrameType | None) -> None:
        time.sleep(behaviour.seconds(behaviour.read_settings(folder), "container_kill_takes"))
        container.kill(signal.SIGKILL)
        container.wait(10)
        container.remove()
        (folder / "container-removed").touch()
        sys.exit(1)

    with contextlib.redirect_stdout(io.StringIO()):
        container.run(detached=True)
    signal.signal(signal.SIGINT, kill)
    container.relay(follow=True)
    code = container.exit_code or 0
    container.remove()
    return code
