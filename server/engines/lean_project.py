"""A LEAN project: its language, algorithm, parameters and libraries, read from its folder."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.core.secret import Secret, mask_secrets
from server.core.text import list_text
from server.engines.base import EngineRequest
from server.engines.csharp_source import CsharpClass, find_algorithms
from server.lean.json_with_comments import parse_json_with_comments

Language = Literal["Python", "CSharp"]

NOT_SOURCE = frozenset({"bin", "obj", "backtests", "live", "optimizations", "node_modules"})
"""Folders of a project that hold no source of its algorithm."""


@frozen(kw_only=True)
class LeanProject:
    """A LEAN project.

    Attributes:
        folder: Its folder, absolute.
        language: As LEAN writes it.
        source: The Python file, or the ``.csproj``.
        type_name: The algorithm's class; of C# with its namespace.
        parameters: ``parameters`` of its config.json.
        libraries: The folders of its ``libraries``, absolute.
    """

    folder: Path
    language: Language
    source: Path
    type_name: str
    parameters: Mapping[str, str] = field(factory=dict)
    libraries: tuple[Path, ...] = ()


def project_path(project: Path | None) -> Path:
    """Return the absolute path of a request's project.

    Raises:
        ConfigurationError: There is no project.
    """
    if project is None:
        raise ConfigurationError("LEAN runs a project; name its folder, or choose the engine smoke")
    path = project.resolve()
    if not path.exists():
        raise ConfigurationError(f"there is no LEAN project at {project}; name the folder that holds main.py")
    return path


def project_folder(path: Path) -> Path:
    """Return the folder of a project that is given by its folder or its main file."""
    return path.parent if path.is_file() else path


def load_project(project: Path | None, workspace: Path | None) -> LeanProject:
    """Read a project.

    Args:
        project: Its folder, or its main file.
        workspace: The folder of lean.json, which paths of libraries are relative to; None without one.

    Raises:
        ConfigurationError: There is no project, its config.json cannot be read, or what LEAN runs is not found.
    """
    path = project_path(project)
    folder = project_folder(path)
    config = read_project_config(folder)
    source = _source(path, folder, str(config.get("algorithm-language") or ""))
    python = source.suffix == ".py"
    return LeanProject(
        folder=folder,
        language="Python" if python else "CSharp",
        source=source,
        type_name=python_class(_text(source)) or source.stem if python else csharp_class(folder, source),
        parameters=project_parameters(config),
        libraries=tuple(_libraries(config, folder, workspace)) if python else (),
    )


def read_project_config(folder: Path) -> Mapping[str, Any]:
    """Return the project's config.json; an empty object where there is no such file.

    Raises:
        ConfigurationError: It cannot be read, or is not an object in JSON with comments.
    """
    path = folder / "config.json"
    try:
        config = parse_json_with_comments(path.read_text("utf-8-sig"), str(path))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path} is not a JSON object; it has to begin with {{ and end with }}")
    return config


def project_parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a project's config.json as the texts that LEAN passes on; null is not set."""
    found = config.get("parameters")
    values = found if isinstance(found, dict) else {}
    return {
        str(name): json.dumps(value) if isinstance(value, dict | list) else str(value)
        for name, value in values.items()
        if value is not None
    }


def run_parameters(own: Mapping[str, str], request: EngineRequest, secrets: Sequence[Secret] = ()) -> dict[str, str]:
    """Return the parameters of a run: the project's own, and then those of the request.

    Args:
        own: The project's.
        request: The backtest.
        secrets: What no parameter may contain, since LEAN writes parameters to its log and results.

    Raises:
        ConfigurationError: A parameter contains a secret.
    """
    for name, value in own.items():
        if mask_secrets(value, secrets) != value or mask_secrets(name, secrets) != name:
            shown = mask_secrets(name, secrets)
            raise ConfigurationError(f"the parameter {shown} of config.json holds a key; remove it, LEAN needs no key")
    return dict(own) | {
        "backtest-symbols": ",".join(request.symbols),
        "backtest-resolution": request.resolution.value,
        "backtest-start": request.start.isoformat(),
        "backtest-end": request.end.isoformat(),
    }


def python_class(source: str) -> str | None:
    """Return the class that derives from QCAlgorithm in Python source; None where there is no such class.

    Args:
        source: The text of the file; one with a syntax error has no class, and LEAN reports the error.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    algorithms = {"QCAlgorithm"}
    for node in tree.body:  # a class is defined after its base
        if isinstance(node, ast.ClassDef) and any(_base_name(base) in algorithms for base in node.bases):
            algorithms.add(node.name)
            found = node.name
    return found if len(algorithms) > 1 else None


def csharp_class(folder: Path, project_file: Path) -> str:
    """Return the algorithm's class of a C# project with its namespace.

    Of several classes that in Main.cs is taken (as LEAN's CLI does), or the one that is called like the project. Where
    no class is found the name of the project is returned: LEAN takes the only algorithm of a DLL by any name.

    Args:
        folder: The project's folder.
        project_file: The ``.csproj``.

    Raises:
        ConfigurationError: There are several and none of them is named, or it has no namespace.
    """
    files = sorted(_csharp_files(folder), key=lambda path: (path.name.lower() != "main.cs", path))
    texts = [_text(path) for path in files]
    found = find_algorithms(texts)
    if len(found) < 2:
        return found[0].name if found else project_file.stem
    in_main = find_algorithms(texts[:1]) if files[0].name.lower() == "main.cs" else []
    named = [one for one in found if one.simple_name == project_file.stem]
    return _one_of(found, in_main[:1] or named[:1], folder)


def _one_of(found: Sequence[CsharpClass], chosen: Sequence[CsharpClass], folder: Path) -> str:
    names = list_text([one.name for one in found])
    if not chosen:
        raise ConfigurationError(
            f"{folder} has several algorithms: {names}; put the one to run into Main.cs, or name it like the .csproj"
        )
    if not chosen[0].has_namespace:
        raise ConfigurationError(
            f"{folder} has several algorithms: {names}; put a namespace around {chosen[0].name}, "
            f"because LEAN finds one of several only by its namespace"
        )
    return chosen[0].name


def _csharp_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.cs"):
        parts = path.relative_to(folder).parts[:-1]
        if not any(part in NOT_SOURCE or part.startswith(".") for part in parts):
            yield path


def _source(path: Path, folder: Path, language: str) -> Path:
    """Return the file that LEAN runs or that is built."""
    if path.is_file() and path.suffix in (".py", ".csproj"):
        return path
    if path.is_file() and path.suffix != ".cs":
        raise ConfigurationError(f"{path} is no LEAN project; name the folder that holds main.py or a .csproj")
    main, builds = folder / "main.py", sorted(folder.glob("*.csproj"))
    if main.is_file() and path.suffix != ".cs" and not (builds and language.lower() in ("csharp", "c#")):
        return main
    if len(builds) > 1:
        builds = [build for build in builds if build.stem == folder.name] or builds
    if len(builds) > 1:
        names = list_text([build.name for build in builds])
        raise ConfigurationError(f"{folder} has several projects: {names}; name the one to run by its .csproj")
    if builds:
        return builds[0]
    if any(_csharp_files(folder)):
        raise ConfigurationError(
            f"{folder} has C# source and no .csproj, without which it cannot be built; write one with "
            f"dotnet new classlib and dotnet add package QuantConnect.Lean, or create the project with "
            f"lean project-create --language csharp"
        )
    raise ConfigurationError(f"{folder} holds neither main.py nor a .csproj; name the folder of a LEAN project")


def _libraries(config: Mapping[str, Any], folder: Path, workspace: Path | None) -> Iterator[Path]:
    """The folders of the libraries, whose paths LEAN's CLI writes relative to the folder of lean.json."""
    found = config.get("libraries")
    roots = [root for root in (workspace, folder.parent, folder) if root is not None]
    for library in found if isinstance(found, list) else []:
        text = library.get("path") or library.get("name") if isinstance(library, dict) else library
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"libraries in {folder / 'config.json'} has an entry without a path; correct it")
        candidates = [root / text.replace("\\", "/") for root in roots]
        path = next((one.resolve() for one in candidates if one.is_dir()), None)
        if path is None:
            raise ConfigurationError(
                f"the library {text} of {folder / 'config.json'} does not exist at {candidates[0]}; correct its path"
            )
        yield path


def _base_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
