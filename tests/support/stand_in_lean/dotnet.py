"""``dotnet``: the runtimes, the compiler, and the launcher."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.stand_in_lean import behaviour
from tests.support.stand_in_lean.files import Files, files_of
from tests.support.stand_in_lean.launcher import ASSEMBLY, launch

LAUNCHER = "QuantConnect.Lean.Launcher.dll"
SHARED = "/usr/share/dotnet"
_NAME = re.compile(r"<AssemblyName>\s*([^<\s]+)\s*</AssemblyName>")
_FRAMEWORK = re.compile(r"<TargetFramework>\s*([^<\s]+)\s*</TargetFramework>")


def main(folder: Path, argv: Sequence[str]) -> int:
    """Run the program; returns the exit code."""
    environ = dict(os.environ)
    files = files_of(environ)
    behaviour.note_call(folder, "dotnet", argv, environ)
    settings = behaviour.read_settings(folder)
    first = argv[0] if argv else ""
    if first == "--list-runtimes":
        for version in settings["runtimes"]:
            print(f"Microsoft.NETCore.App {version} [{SHARED}/shared/Microsoft.NETCore.App]")
        return 0
    if first == "--list-sdks":
        for version in settings["sdks"]:
            print(f"{version} [{SHARED}/sdk]")
        return 0
    if first in ("--version", "build") and not settings["sdks"]:
        print(
            f"The command could not be loaded, possibly because:\n  * No .NET SDKs were found.\n{SHARED}",
            file=sys.stderr,
        )
        return 145
    if first == "--version":
        print(settings["sdks"][-1])
        return 0
    if first == "build":
        return _build(argv[1:], files)
    return _execute(folder, argv, files, settings, environ)


def _execute(folder: Path, argv: Sequence[str], files: Files, settings: dict[str, Any], environ: dict[str, str]) -> int:
    dll = argv[0] if argv else ""
    if not dll.endswith(".dll") or not files.host(dll).is_file():
        print(f"The application to execute does not exist: '{dll}'.", file=sys.stderr)
        return 1
    config = files.host(dll.removesuffix(".dll") + ".runtimeconfig.json")
    wanted = re.findall(r'"version"\s*:\s*"(\d+)\.', config.read_text("utf-8-sig")) if config.is_file() else []
    if not wanted or not any(version.split(".")[0] == wanted[0] for version in settings["runtimes"]):
        print(
            f"You must install or update .NET to run this application.\n\nApp: {dll}\nFramework: "
            f"'Microsoft.NETCore.App', version '{wanted[0] if wanted else '?'}.0.0'",
            file=sys.stderr,
        )
        return 150
    if Path(dll).name != LAUNCHER:
        print(f"stand-in for LEAN: {dll} is not LEAN's launcher", file=sys.stderr)
        return 1
    return launch(folder, dll, argv[1:], files, environ)


def _build(argv: Sequence[str], files: Files) -> int:
    """Put the sources of a project into its DLL; the launcher reads them there."""
    options, given = _build_options(argv)
    project = files.host(given or ".")
    if project.is_dir():
        projects = sorted(project.glob("*.csproj"))
        if len(projects) != 1:
            print("MSBUILD : error MSB1003: Specify a project or solution file.")
            return 1
        project = projects[0]
    if not project.is_file():
        print(f"MSBUILD : error MSB1009: Project file does not exist.\nSwitch: {given}")
        return 1
    text = project.read_text("utf-8-sig")
    sources = [path for path in sorted(project.parent.rglob("*.cs")) if not {"bin", "obj"} & set(path.parts)]
    for path in sources:
        for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
            if "stand-in: compiler-error" in line:
                error = "error CS0103: The name 'nothing' does not exist in the current context"
                print(f"{path}({number},13): {error} [{project}]\n\nBuild FAILED.\n\n    0 Warning(s)\n    1 Error(s)")
                return 1
    name = _first(_NAME, text, options.get("AssemblyName", project.stem))
    framework = _first(_FRAMEWORK, text, "net10.0")
    configuration = options.get("configuration", "Debug")
    default = project.parent / "bin" / configuration / framework
    output = files.host(options["output"], write=True) if "output" in options else default
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{name}.dll"
    target.write_text(ASSEMBLY + "\n".join(path.read_text("utf-8-sig") for path in sources), "utf-8")
    print(f"  {name} -> {target}\n\nBuild succeeded.\n    0 Warning(s)\n    0 Error(s)")
    return 0


def _first(pattern: re.Pattern[str], text: str, default: str) -> str:
    match = pattern.search(text)
    return match[1] if match else default


def _build_options(argv: Sequence[str]) -> tuple[dict[str, str], str]:
    """The options of ``dotnet build`` that matter, and the project."""
    named = {"-o": "output", "--output": "output", "-c": "configuration", "--configuration": "configuration"}
    valued = {"-v", "--verbosity", "-f", "--framework", "-r", "--runtime", "--source", "-s"}
    options: dict[str, str] = {}
    project = ""
    rest = iter(argv)
    for argument in rest:
        if argument in named:
            options[named[argument]] = next(rest, "")
        elif match := re.match(r"(?:-p|/p|--property|-property|/property):(\w+)=(.*)", argument):
            options[{"OutputPath": "output", "OutDir": "output"}.get(match[1], match[1])] = match[2]
        elif argument in valued:
            next(rest, "")
        elif not argument.startswith("-"):
            project = argument
    return options, project
