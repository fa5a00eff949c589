"""Small stand-ins for ``dotnet`` and ``docker`` in tests of one engine: they record what they are given.

Run as the program: the first argument is the folder for records, the second ``dotnet`` or ``docker``; the rest is the
program's own. What happens is in the file ``mode`` of that folder: ``ok``, ``ignore`` (SIGINT has no effect),
``interrupted``, ``fail``, ``no-build`` or ``error`` (docker prints what the file ``error`` has).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

STAMP = "20261127135345085"


def record(folder: Path, name: str, values: object) -> None:
    """Append to the records of a name."""
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def launch(folder: Path, config: Path, mounts: dict[str, str]) -> int:
    """What the launcher does with a config whose paths are those of a container with these mounts."""
    values = json.loads(config.read_text("utf-8"))
    record(folder, "config", values)
    mode = (folder / "mode").read_text().strip()
    results = Path(here(values["results-destination-folder"], mounts))
    log = results / "log.txt"

    def say(text: str) -> None:
        line = f"2026-11-27T13:53:45.0905564Z TRACE:: {text}\n"
        with log.open("a", encoding="utf-8") as file:
            file.write(line)
        print(line, end="", flush=True)

    def interrupt(number: int, frame: object) -> None:
        record(folder, "signal", number)
        say("Program.ExitKeyPress(): Lean instance has been cancelled, shutting down safely now")
        sys.exit(0)

    if mode == "fail":
        print("Unhandled exception. System.Exception: no luck", file=sys.stderr)
        return 134
    if mode == "ignore":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: (record(folder, "signal", number), os._exit(143)))
    else:
        signal.signal(signal.SIGINT, interrupt)
    say("Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE v2.5.0.0 Mode: DEBUG (64bit) Host: vm")
    if mode in ("ignore", "interrupted"):
        say("ready")
        time.sleep(600)
    result = {
        "state": {"Status": "Completed"},
        "statistics": {"Net Profit": "1.500%"},
        "algorithmConfiguration": {
            "startDate": f"{values['parameters']['backtest-start']}T00:00:00Z",
            "endDate": f"{values['parameters']['backtest-end']}T23:59:59Z",
        },
    }
    (results / f"{values['algorithm-id']}.json").write_text(json.dumps(result))
    (results / f"succeeded-data-requests-{STAMP}.txt").write_text("/data/equity/usa/minute/spy/20240108_trade.zip\n")
    (results / f"failed-data-requests-{STAMP}.txt").write_text("")
    say("Engine.Run(): Algorithm Id:(1) completed in 1 seconds. Processing total of 42 data points.")
    return 0


def build(folder: Path, arguments: list[str], mounts: dict[str, str]) -> int:
    """What ``dotnet build`` does."""
    record(folder, "build", arguments)
    if (folder / "mode").read_text().strip() == "no-build":
        print(f"{arguments[1]}/../Main.cs(12,9): error CS0103: The name 'x' does not exist [{arguments[1]}]")
        return 1
    output = Path(here(arguments[arguments.index("-o") + 1], mounts))
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{Path(arguments[1]).stem}.dll").touch()
    return 0


def here(path: str, mounts: dict[str, str]) -> str:
    """The path on this machine of one in the container."""
    for target, source in mounts.items():
        if path == target or path.startswith(f"{target}/"):
            return source + path[len(target) :]
    return path


def dotnet(folder: Path, arguments: list[str]) -> int:
    """The program dotnet."""
    record(folder, "dotnet", {"argv": arguments, "cwd": str(Path.cwd()), "environ": dict(os.environ)})
    if arguments[0] == "build":
        return build(folder, arguments, {})
    return launch(folder, Path(arguments[arguments.index("--config") + 1]), {})


def docker(folder: Path, arguments: list[str]) -> int:
    """The program docker: run, kill and rm."""
    record(folder, "docker", {"argv": arguments, "environ": dict(os.environ)})
    container = folder / "container"
    if arguments[0] == "kill":
        name, _, pid = container.read_text().partition(" ")
        os.kill(int(pid), getattr(signal, "SIG" + arguments[1].removeprefix("--signal=")))
        return 0 if name == arguments[2] else 1
    if arguments[0] != "run":
        return 0
    if (folder / "mode").read_text().strip() == "error":
        print((folder / "error").read_text(), file=sys.stderr)
        return 125
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    container.write_text(f"{arguments[arguments.index('--name') + 1]} {os.getpid()}")
    mounts = {}
    for place, argument in enumerate(arguments):
        if argument == "-v":
            source, target, *_ = arguments[place + 1].split(":")
            mounts[target] = source
    if "build" in arguments:
        return build(folder, arguments[arguments.index("build") :], mounts)
    return launch(folder, Path(here(arguments[arguments.index("--config") + 1], mounts)), mounts)


if __name__ == "__main__":
    sys.exit({"dotnet": dotnet, "docker": docker}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:]))
