"""Small programs in the place of dotnet, docker and python3, and a folder with LEAN's launcher."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tests.support.lean_workspace import write_program

DLL = "QuantConnect.Lean.Launcher.dll"
RUNTIMES = "Microsoft.AspNetCore.App 10.0.1 [/d/shared]\nMicrosoft.NETCore.App 10.0.1 [/d/shared]"
REFERENCE = {
    "market-hours/market-hours-database.json": '{"entries": {}}',
    "symbol-properties/symbol-properties-database.csv": "market,symbol,type\n",
    "symbol-properties/security-database.csv": "a,b\n",
    "alternative/interest-rate/usa/interest-rate.csv": "2020-01-01,1.5\n",
}
"""LEAN's reference data by path, each with some content."""


def runtime_config(version: str = "10.0.0", name: str = "Microsoft.NETCore.App", **options: object) -> str:
    """The launcher's runtimeconfig.json."""
    return json.dumps({"runtimeOptions": {"framework": {"name": name, "version": version}, **options}})


def write_launcher(folder: Path, config: str | None = None) -> Path:
    """A folder that looks like the launcher's."""
    folder.mkdir(parents=True)
    (folder / DLL).write_bytes(b"MZ")
    (folder / "QuantConnect.Lean.Launcher.runtimeconfig.json").write_text(config or runtime_config())
    return folder


def write_reference(folder: Path, *left_out: str) -> None:
    """Write LEAN's reference data below a folder Data."""
    for path, text in REFERENCE.items():
        if path not in left_out:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)


def write_dotnet(path: Path, runtimes: str = RUNTIMES, sdks: str = "") -> None:
    """A dotnet that lists runtimes and SDKs."""
    write_program(
        path,
        f'#!/bin/sh\ncase "$1" in\n--list-runtimes) printf "%s\\n" "{runtimes}" ;;\n'
        f'--list-sdks) printf "%s\\n" "{sdks}" ;;\n*) exit 9 ;;\nesac\n',
    )


def write_docker(path: Path, image_root: Path | None, image: str = "quantconnect/lean:latest") -> Path:
    """A docker whose one image has the files below `image_root`; None: no image. Returns its log of arguments."""
    log = path.with_name("docker.log")
    write_program(path, f"#!{sys.executable}\n{_DOCKER.format(root=str(image_root or ''), image=image, log=str(log))}")
    return log


def write_python(path: Path, missing: str = "") -> None:
    """A python3 that is this interpreter; `missing` names packages that it cannot import."""
    block = f"import sys\nfor name in {missing.split()!r}: sys.modules[name] = None\n"
    write_program(path, f'#!/bin/sh\nPYTHONPATH={path.parent}/hook exec {sys.executable} "$@"\n')
    shutil.rmtree(path.parent / "hook", ignore_errors=True)
    (path.parent / "hook").mkdir()
    (path.parent / "hook" / "sitecustomize.py").write_text(block)


_DOCKER = """
import shutil, sys
from pathlib import Path
root, image, log = {root!r}, {image!r}, {log!r}
arguments = sys.argv[1:]
with open(log, "a") as file:
    file.write(" ".join(arguments) + "\\n")

def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)

if arguments[0] == "version":
    print("27.0.1")
elif arguments[:2] == ["image", "inspect"]:
    if not root or arguments[-1] != image:
        fail("Error response from daemon: No such image: " + arguments[-1])
    print("sha256:abc")
elif arguments[0] == "pull":
    fail("Error response from daemon: pull access denied for " + arguments[-1])
elif arguments[0] == "create":
    print("WARNING: The requested image's platform does not match", file=sys.stderr)
    print("0123456789abcdef" * 4)
elif arguments[0] == "cp":
    source = Path(root + arguments[1].partition(":")[2])
    if not source.exists():
        fail("Error response from daemon: Could not find the file " + str(source) + " in container x")
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, arguments[2])
elif arguments[0] == "rm":
    print(arguments[-1])
else:
    fail("unknown command")
"""
