"""The Python that LEAN embeds: its shared library, and whether it has the packages that LEAN imports.

LEAN loads the library that PYTHONNET_PYDLL names. Where the interpreter lacks pandas or numpy, its own error names
neither (``The type initializer for 'QuantConnect.Python.PandasConverter' threw an exception``), so the interpreter is
run once before.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.engines.launcher import PythonRuntime
from server.engines.probe import MissingRequirement, Requirement, ask_program

PYTHON_SECONDS = 30.0
"""Seconds within which the interpreter has to import pandas and numpy."""

SUPPORTED_VERSION = "3.11"
"""The version of Python that LEAN supports; others may work."""

PACKAGES = ("numpy", "pandas")

_FACT = re.compile(r"@python ((?:import )?\S+) (.*)")
_SCRIPT = """
import sys
sys.path[:] = [path for path in sys.path if path]
import json, sysconfig
def answer(name, value):
    print("@python " + name + " " + json.dumps(value))
    sys.stdout.flush()
answer("version", "%d.%d.%d" % sys.version_info[:3])
answer("implementation", sys.implementation.name)
answer("abiflags", getattr(sys, "abiflags", ""))
answer("executable", sys.executable)
answer("prefix", sys.prefix)
answer("base_prefix", sys.base_prefix)
for name in ("LDLIBRARY", "INSTSONAME", "LIBDIR", "MULTIARCH", "PYTHONFRAMEWORKPREFIX", "Py_ENABLE_SHARED"):
    answer(name, sysconfig.get_config_var(name))
for name in sys.argv[1:]:
    try:
        __import__(name)
    except BaseException as error:
        answer("import " + name, (type(error).__name__ + ": " + " ".join(str(error).split()))[:200])
    else:
        answer("import " + name, None)
"""


def find_python(
    configured: Path | None, environ: Mapping[str, str], *, source: str = "the settings"
) -> Requirement[Path]:
    """Find the interpreter of Python algorithms.

    Args:
        configured: The value of the setting `lean-python`: an interpreter, or the folder of a virtual environment or
            of a conda environment.
        environ: The environment, for the PATH.
        source: The source of the setting.

    Returns:
        The interpreter, by default the first python3 of the PATH; links are not resolved, since the interpreter of a
        virtual environment is one.
    """
    if configured is None:
        found = shutil.which("python3", path=environ.get("PATH", ""))
        if found is None and sys.platform == "win32":
            found = shutil.which("python", path=environ.get("PATH", ""))
        if found is None:
            fix = f"install Python {SUPPORTED_VERSION}, or set lean-python to its interpreter"
            return Requirement(lacks=(MissingRequirement("there is no python3 on the PATH", fix),))
        return Requirement(value=Path(found).absolute())
    names = ("", "bin/python3", "bin/python", "Scripts/python.exe", "python.exe")
    for path in (configured / name for name in names):
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - Path.is_file may raise
            return Requirement(value=path.absolute())
    problem = "there is no interpreter in it" if os.path.isdir(configured) else "it is not an interpreter"  # noqa: PTH112
    if not os.path.exists(configured):  # noqa: PTH110
        problem = "it does not exist"
    fix = "set lean-python to an interpreter, or to the folder of a virtual environment or conda environment"
    return Requirement(lacks=(MissingRequirement(f"lean-python is {configured} ({source}), but {problem}", fix),))


def inspect_python(interpreter: Path, environ: Mapping[str, str]) -> Requirement[PythonRuntime]:
    """Run an interpreter once and learn what LEAN needs of it.

    Args:
        interpreter: The interpreter.
        environ: The environment in which it runs.

    Returns:
        The runtime, or all that is missing.
    """
    answer = ask_program(interpreter, ["-c", _SCRIPT, *PACKAGES], environ=environ, seconds=PYTHON_SECONDS)
    facts = read_facts("\n".join(answer.lines))
    if "Py_ENABLE_SHARED" not in facts:
        problem = answer.problem or "it did not answer"
        fix = "set lean-python to an interpreter of CPython 3"
        return Requirement(lacks=(MissingRequirement(f"the Python {interpreter} cannot be used: {problem}", fix),))
    version, executable = facts["version"], Path(facts["executable"] or interpreter)
    found = f"Python {version} at {executable}"
    if not version.startswith(f"{SUPPORTED_VERSION}."):
        found += f" (LEAN supports {SUPPORTED_VERSION})"
    library = shared_library(facts, os.path.isfile)
    lacks = [*_interpreter_lacks(facts, executable, library), *_package_lacks(facts, executable, answer.problem)]
    if lacks or library is None:
        return Requirement(found=found, lacks=tuple(lacks))
    prefix = facts["prefix"]
    runtime = PythonRuntime(
        executable=executable,
        library=library,
        version=version,
        environment=Path(prefix) if prefix != facts["base_prefix"] else None,
    )
    return Requirement(value=runtime, found=found)


def read_facts(text: str) -> dict[str, Any]:
    """Read what the script printed, among other output of the interpreter; an import's value is its error, or None."""
    facts: dict[str, Any] = {}
    for line in text.splitlines():
        match = _FACT.fullmatch(line)
        if match:
            with suppress(ValueError):  # a line that was cut off
                facts[match[1]] = json.loads(match[2])
    return facts


def shared_library(facts: Mapping[str, Any], is_file: Callable[[str], bool]) -> Path | None:
    """Return the shared library of an interpreter: of Linux, macOS (also a framework) or Windows, and of conda.

    conda's and relocated interpreters report a static library or a folder of the machine that they were built on, so
    the names and folders of the platform are tried as well.

    Args:
        facts: What the interpreter reported.
        is_file: Whether a path is a file.

    Returns:
        The library; None for an interpreter without one.
    """
    return next((Path(path) for path in _library_paths(facts) if is_file(path)), None)


def _library_paths(facts: Mapping[str, Any]) -> list[str]:
    major, minor, _ = facts["version"].split(".")
    stem = f"{major}.{minor}{facts.get('abiflags') or ''}"
    base, libdir, multiarch = (facts.get(name) or "" for name in ("base_prefix", "LIBDIR", "MULTIARCH"))
    named = [facts.get("INSTSONAME") or "", facts.get("LDLIBRARY") or ""]
    usual = [f"libpython{stem}.so.1.0", f"libpython{stem}.so", f"libpython{stem}.dylib", f"python{major}{minor}.dll"]
    names = [name for name in (*named, *usual) if name and not name.endswith((".a", ".lib")) and "/" not in name]
    folders = [f"{base}/lib", f"{base}/lib64", f"{base}/lib/{multiarch}", libdir, f"{libdir}/{multiarch}", base]
    frameworks = [f"{facts.get('PYTHONFRAMEWORKPREFIX')}/{name}" for name in named if ".framework/" in name]
    frameworks += [f"{base}/Python" for name in named if ".framework/" in name]
    paths = [f"{folder}/{name}" for folder in folders if folder.startswith("/") or os.name == "nt" for name in names]
    return [os.path.normpath(path) for path in (*frameworks, *paths)]


def _interpreter_lacks(facts: Mapping[str, Any], executable: Path, library: Path | None) -> list[MissingRequirement]:
    if facts.get("implementation") != "cpython":
        fix = "set lean-python to an interpreter of CPython"
        return [MissingRequirement(f"{executable} is {facts.get('implementation')}, but LEAN embeds CPython", fix)]
    lacks = []
    version = ".".join(facts["version"].split(".")[:2])
    if library is None:
        if facts.get("Py_ENABLE_SHARED"):
            fix = f"sudo apt install libpython{version}, or the package of your system that has it"
        else:
            fix = f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {SUPPORTED_VERSION}, or change lean-python"
        what = f"{executable} has no shared library (libpython{version}), which LEAN loads"
        lacks.append(MissingRequirement(what, fix))
    if os.name == "posix" and not os.access(executable.parent / "python3", os.X_OK):
        fix = f"ln -s {shlex.quote(executable.name)} {shlex.quote(str(executable.parent / 'python3'))}"
        what = f"{executable.parent} has no python3, by which LEAN finds the packages of {executable.name}"
        lacks.append(MissingRequirement(what, fix))
    return lacks


def _package_lacks(facts: Mapping[str, Any], executable: Path, problem: str | None) -> list[MissingRequirement]:
    unknown = problem if problem and problem.startswith("no answer") else "the interpreter ended while it imported it"
    errors = {name: facts.get(f"import {name}", unknown) for name in PACKAGES}
    missing = [f"{name} ({error})" for name, error in errors.items() if error is not None]
    if not missing:
        return []
    fix = f"{shlex.quote(str(executable))} -m pip install pandas numpy"
    return [MissingRequirement(f"{executable} cannot import {' and '.join(missing)}", fix)]
