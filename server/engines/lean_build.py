"""Builds a C# project with ``dotnet build``, on this machine or in a container."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from server.core.errors import BacktestServerError, ToolFailedError, ToolMissingError
from server.core.subprocess_runner import CommandOutcome

BUILD_VARIABLES = {"DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1", "MSBUILDDISABLENODEREUSE": "1"}
"""Variables of a build: no telemetry, no greeting, and no process of MSBuild that stays."""

_ERROR = re.compile(
    r"^(?P<file>.*?\S)\s?(?:\((?P<line>\d+)(?:,\d+)*\)\s?)?:\s(?:fatal\s)?error(?:\s(?P<code>\w+))?\s?:\s(?P<text>.+?)"
    r"(?:\s\[[^\[\]]+\])?$"
)
_NO_SDK = ("No .NET SDKs were found", "does not exist or is not a valid SDK", "could not be loaded. Run dotnet --info")
_ASSEMBLY_NAME = re.compile(r"<AssemblyName>\s*([^<$]+?)\s*</AssemblyName>")


def build_arguments(project: PurePath, output: PurePath, intermediate: PurePath) -> tuple[str, ...]:
    """Return the arguments of ``dotnet`` that build a project into a folder and write nothing into the project's.

    Args:
        project: The ``.csproj``.
        output: Receives the DLL.
        intermediate: Receives what the build writes into ``obj`` otherwise, for each referenced project apart.
    """
    return (
        *("build", str(project)),
        *("-o", str(output)),
        *("-nologo", "-v:quiet", "-clp:NoSummary", "-nodeReuse:false"),
        "-p:UseSharedCompilation=false",
        f"-p:ArtifactsPath={_escaped(str(intermediate))}",
    )


def assembly_name(project: Path) -> str:
    """Return the name of the DLL that a project builds, without its suffix.

    Args:
        project: The ``.csproj``; without ``AssemblyName`` in it the DLL is called like the file.
    """
    try:
        found = _ASSEMBLY_NAME.search(project.read_text("utf-8-sig", errors="replace"))
    except OSError:
        found = None
    return found[1] if found else project.stem


def compiler_error(lines: Iterable[str]) -> str | None:
    """Return the first error of a build as ``message (Main.cs, line 12)``; None where no line is one.

    Args:
        lines: What ``dotnet build`` printed.
    """
    for line in lines:
        if match := _ERROR.match(line.strip()):
            name = re.split(r"[/\\]", match["file"])[-1]
            text = f"{match['code']}: {match['text']}" if match["code"] else match["text"]
            place = f"{name}, line {match['line']}" if match["line"] else name
            return f"{text} ({place})"
    return None


def build_failure(outcome: CommandOutcome, project: Path, time_limit: float) -> BacktestServerError:
    """Return the error of a build that did not end well.

    Args:
        outcome: How it ended, and what it printed.
        project: The ``.csproj``.
        time_limit: Seconds after which it was stopped.
    """
    if outcome.timed_out:
        return ToolFailedError(f"dotnet build {project} was stopped: it had not ended after {time_limit:,.0f} s")
    printed = "\n".join(outcome.lines)
    if any(sign in printed for sign in _NO_SDK):
        return ToolMissingError(
            f"{project} cannot be built without the .NET SDK; install it (https://dotnet.microsoft.com/download)"
        )
    last = outcome.lines[-1].strip() if outcome.lines else "it printed nothing"
    reason = compiler_error(outcome.lines) or f"exit code {outcome.exit_code}: {last}"
    return ToolFailedError(f"{project.name} does not compile: {reason}")


def no_dll(project: Path, name: str) -> BacktestServerError:
    """Return the error of a build without the expected DLL."""
    return ToolFailedError(f"dotnet build {project} made no {name}; correct the project's AssemblyName or OutputType")


def _escaped(value: str) -> str:
    """A value of an MSBuild property on the command line, where ``;`` and ``,`` separate properties."""
    return value.replace("%", "%25").replace(";", "%3B").replace(",", "%2C")
