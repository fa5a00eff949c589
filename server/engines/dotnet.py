"""The program dotnet, and which runtimes and SDKs it has."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from server.core.text import list_text
from server.engines.launcher import RequiredRuntime
from server.engines.probe import MissingRequirement, Requirement, ask_program

DOTNET_SECONDS = 10.0
"""Seconds within which dotnet has to list its runtimes."""

DEFAULT_CHANNEL = "10.0"
"""The version of .NET that LEAN needs in 2026, for advice where no launcher names one."""

_RUNTIME = re.compile(r"^(\S+) (\d+\.\d+\.\d+\S*) \[", re.MULTILINE)
_SDK = re.compile(r"^(\d+)\.\d+\.\d+\S* \[", re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(-.*)?")
_USUAL_FOLDERS = ("/usr/share/dotnet", "/usr/lib/dotnet", "/usr/local/share/dotnet", "/opt/dotnet")

Version = tuple[int, int, int, bool]


def dotnet_programs(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the programs dotnet of this machine: of the PATH, $DOTNET_ROOT, ~/.dotnet and the system's folders."""
    seen: set[str] = set()
    on_path = shutil.which("dotnet", path=environ.get("PATH", ""))
    home = environ.get("HOME") or environ.get("USERPROFILE")
    folders = [environ.get("DOTNET_ROOT"), f"{home}/.dotnet" if home else None, *_USUAL_FOLDERS]
    name = "dotnet.exe" if sys.platform == "win32" else "dotnet"
    for path in (on_path, *(f"{folder}/{name}" for folder in folders if folder)):
        if path and os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - Path.is_file may raise
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield Path(path).absolute()


def find_dotnet(required: Sequence[RequiredRuntime], environ: Mapping[str, str]) -> Requirement[Path]:
    """Find the first dotnet that has the required runtimes.

    Args:
        required: The runtimes; if empty, any dotnet will do.
        environ: The environment in which it is searched for and run.

    Returns:
        The program, or what is missing.
    """
    programs = list(dotnet_programs(environ))
    if not programs:
        return Requirement(lacks=(MissingRequirement("dotnet was not found", _install_command(required)),))
    if not required:
        return Requirement(value=programs[0], found=f"dotnet at {programs[0]}")
    problems = []
    for program in programs:
        answer = ask_program(program, ["--list-runtimes"], environ=environ, seconds=DOTNET_SECONDS)
        installed = _RUNTIME.findall("\n".join(answer.lines))
        missing = [runtime for runtime in required if not any(satisfies(runtime, *one) for one in installed)]
        if answer.problem is None and not missing:
            wanted = ", ".join(f"{one.name} {one.version}" for one in required)
            return Requirement(value=program, found=f"dotnet at {program} with {wanted} or later")
        problems.append(f"{program} {answer.problem or _lists(installed)}")
    what = f"dotnet has no runtime {', '.join(f'{one.name} {one.version}' for one in required)}: {'; '.join(problems)}"
    return Requirement(lacks=(MissingRequirement(what, _install_command(required)),))


def find_sdk(dotnet: Path, required: Sequence[RequiredRuntime], environ: Mapping[str, str]) -> Requirement[Path]:
    """Check that dotnet has an SDK, which builds C# projects.

    Args:
        dotnet: The program.
        required: The launcher's runtimes; the SDK has to know their major version.
        environ: The environment in which it runs.
    """
    channel = _channel(required)
    answer = ask_program(dotnet, ["--list-sdks"], environ=environ, seconds=DOTNET_SECONDS)
    majors = [int(major) for major in _SDK.findall("\n".join(answer.lines))]
    if any(major >= int(channel.partition(".")[0]) for major in majors):
        return Requirement(value=dotnet, found="the .NET SDK")
    what = f"dotnet has no SDK {channel} or later, which builds C# projects"
    return Requirement(lacks=(MissingRequirement(what, _install_script(f"--channel {channel}")),))


def satisfies(required: RequiredRuntime, name: str, version: str) -> bool:
    """Whether an installed framework can run what needs the required one (.NET's roll-forward rules).

    Args:
        required: The framework, its version and the rule.
        name: The name of the installed framework.
        version: Its version.
    """
    wanted, found = _version(required.version), _version(version)
    if name != required.name or wanted is None or found is None or found < wanted:
        return False
    same = {"disable": 3, "latestpatch": 2, "major": 0, "latestmajor": 0}.get(required.roll_forward.lower(), 1)
    return found[:same] == wanted[:same]


def _version(text: str) -> Version | None:
    """A version as numbers; one before the release, such as ``10.0.0-rc.1``, comes before it."""
    match = _VERSION.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0), match[4] is None) if match else None


def _lists(installed: Sequence[tuple[str, str]]) -> str:
    return f"has {list_text([' '.join(one) for one in installed])}" if installed else "lists no runtime"


def _channel(required: Sequence[RequiredRuntime]) -> str:
    match = _VERSION.fullmatch(required[0].version) if required else None
    return f"{match[1]}.{match[2]}" if match else DEFAULT_CHANNEL


def _install_command(required: Sequence[RequiredRuntime]) -> str:
    """Microsoft's command that installs a runtime into ~/.dotnet."""
    kind = "aspnetcore" if any("AspNetCore" in one.name for one in required) else "dotnet"
    return _install_script(f"--channel {_channel(required)} --runtime {kind}")


def _install_script(arguments: str) -> str:
    if sys.platform == "win32":
        return "see https://dotnet.microsoft.com/download"
    return f"curl -sSL https://dot.net/v1/dotnet-install.sh | bash -s -- {arguments}"
