"""``lean backtest`` of LEAN's CLI: rewrites its lean.json and runs the launcher as if in a container."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.stand_in_lean import behaviour, config_check, docker
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
        print("lean 1.0.221")
        return 0
    arguments = _parse(argv)
    lean_json = Path(arguments.lean_config)
    values = json.loads(lean_json.read_text("utf-8"))
    behaviour.note_call(folder, "lean", argv, environ, config=values, mode=f"{lean_json.stat().st_mode & 0o777:o}")
    behaviour.refuse_vendor_keys(environ)
    lean_json.write_text(json.dumps(values | {"data-provider": "rewritten"}, indent=4))
    if keys := config_check.vendor_keys(values):
        behaviour.refuse(f"{lean_json} has {', '.join(keys)}, which LEAN must not get")
    if behaviour.read_settings(folder)["docker"] != "running":
        print(f"Error: Please make sure Docker is installed and running\n{docker.NO_DAEMON}")
        return 1
    project, output = Path(arguments.project), Path(arguments.output)
    root = project if project.is_dir() else project.parent
    output.mkdir(parents=True, exist_ok=True)
    shutil.copytree(root, output / "code", ignore=shutil.ignore_patterns("backtests"), dirs_exist_ok=True)
    identifier = f"1{random.randrange(10**9):09}"
    facts = {"id": identifier, "container": f"lean_cli_{identifier}", "backtest-name": root.name}
    (output / "config").write_text(json.dumps(facts))
    with tempfile.TemporaryDirectory(prefix="stand-in-") as scratch:
        config = _config(Path(scratch), identifier, arguments, values, lean_json.resolve().parent)
        code = _run(folder, config, environ)
    if code:
        print(f"Error: Something went wrong while running '{arguments.project}' in the 'backtesting' environment")
        return 1
    stored = output.resolve().relative_to(lean_json.resolve().parent)  # fails after the run, as with the CLI
    print(
        f"Successfully ran '{arguments.project}' in the 'backtesting' environment and stored the output in '{stored}'"
    )
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


def _config(scratch: Path, identifier: str, arguments: argparse.Namespace, values: dict[str, Any], root: Path) -> Path:
    """Write the launcher's configuration."""
    project = Path(arguments.project).resolve()
    language, location = _algorithm(project, scratch)
    storage = root / "storage"
    config = {
        **HANDLERS,
        "environment": "backtesting",
        "live-mode": False,
        "debug-mode": False,
        "show-missing-data-logs": True,
        "algorithm-type-name": project.stem if project.is_file() else project.name,
        "algorithm-language": language,
        "algorithm-location": str(location),
        "data-folder": str(root / values["data-folder"]),
        "results-destination-folder": str(Path(arguments.output).resolve()),
        "algorithm-id": identifier,
        "backtest-name": project.name,
        "close-automatically": True,
        "parameters": dict(arguments.parameter),
        "object-store-root": str(storage),
        "job-user-id": "0",
        "api-access-token": "",
        "job-organization-id": str(values.get("job-organization-id", "")),
        "python-additional-paths": [],
        "environments": {"backtesting": ENVIRONMENT},
        **dict(arguments.extra_config),
    }
    path = scratch / "config.json"
    path.write_text(json.dumps(config))
    return path


def _algorithm(project: Path, scratch: Path) -> tuple[str, Path]:
    """The language and file of a project; C# is compiled."""
    file = project if project.is_file() else project / "main.py"
    if file.suffix == ".py" and file.exists():
        return "Python", file
    sources = sorted(project.glob("*.cs")) if project.is_dir() else [project]
    dll = scratch / f"{project.stem}.dll"
    dll.write_text(ASSEMBLY + "\n".join(path.read_text("utf-8-sig") for path in sources), "utf-8")
    return "CSharp", dll


def _run(folder: Path, config: Path, environ: dict[str, str]) -> int:
    """Run the launcher outside this process's group, as a container's; SIGINT and SIGTERM are passed on."""
    process = subprocess.Popen(
        [str(folder / "bin/dotnet"), str(folder / "launcher/QuantConnect.Lean.Launcher.dll"), "--config", str(config)],
        env={**environ, "PYTHONNET_PYDLL": str(folder / "libpython3.11.so")},
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    return process.wait()
