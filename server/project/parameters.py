"""Reads symbols, resolution and dates of a LEAN project from ``config/parameters.py`` without running the file.

The constructs that are read are those with which public LEAN projects write such values:

- assignments of a module, of a class or dataclass (WQU-MScFE-Capstone-MGS/retail-investor-strategies), and to ``self``
  in ``__init__`` (AhmedKhattab1993/zac_qc), with or without annotation;
- strings, integers, None, and lists, tuples and sets of them; ``date(2024, 1, 2)``, ``datetime(2024, 1, 2)`` and
  ``Resolution.MINUTE``; names assigned above; ``+`` between lists (``SYMBOLS = ETFS + STOCKS``);
- ``field(default_factory=lambda: ["SPY"])``, because a dataclass accepts no list as a default.

Any other value of a parameter is an error that names file and line.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import ConfigurationError
from server.lean.series import Resolution, parse_symbols
from server.project.constants import Constant, Value, read_constants

PARAMETERS_FILE = Path("config", "parameters.py")

MAX_BYTES = 1_000_000
"""Largest parameters file that is read."""


@frozen(kw_only=True)
class ProjectParameters:
    """The parameters of a project that concern its data; None for each that the file does not give.

    Attributes:
        symbols: In the file's order, in capitals, without duplicates.
        resolution: Length of the bars.
        start, end: First and last day, both included, New York.
        source: The parameters file.
    """

    symbols: tuple[str, ...] | None
    resolution: Resolution | None
    start: date | None
    end: date | None
    source: Path


def read_project_parameters(project: Path, *, skip: Collection[str] = ()) -> ProjectParameters:
    """Read ``config/parameters.py`` of a LEAN project.

    Args:
        project: The folder of the project, or its main.py.
        skip: Fields (``symbols``, ``resolution``, ``start``, ``end``) that the request gives. Their values in the
            file are ignored, also invalid ones.

    Raises:
        ConfigurationError: No project, no parameters file, a file that is not Python or too large, or a value that is
            not known without running the file or does not fit. The message names file and line and shows an example.
    """
    source = _find_source(project)
    scopes = read_constants(_parse(source))
    found = {name: None if name in skip else _pick(scopes, field, source) for name, field in _FIELDS.items()}
    parameters = ProjectParameters(**found, source=source)
    if parameters.start and parameters.end and parameters.end < parameters.start:
        raise ConfigurationError(
            f"{source}: the end {parameters.end} lies before the start {parameters.start}; swap them"
        )
    return parameters


def _find_source(project: Path) -> Path:
    folder = project.parent if project.is_file() else project
    if not folder.is_dir():
        raise ConfigurationError(f"there is no LEAN project at {project}; name the folder that holds its main.py")
    source = folder / PARAMETERS_FILE
    if not source.is_file():
        raise ConfigurationError(
            f"the project {folder} has no {PARAMETERS_FILE.as_posix()}; write one with symbols, start_date and "
            "end_date, or name symbols and dates in the request"
        )
    return source


def _parse(source: Path) -> ast.Module:
    try:
        with source.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{source} is larger than {MAX_BYTES:,} bytes; keep only the parameters in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for the escape "\d" in the project's file
            return ast.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8 text; save it as UTF-8") from error
    except SyntaxError as error:
        raise ConfigurationError(f"{source}:{error.lineno or 1}: not valid Python ({error.msg}); correct it") from error
    except (MemoryError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{source} is not Python that can be read; keep only plain values in it") from error


def _to_symbols(value: Value) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError(f"{_shown(value)} is not a list of symbols")
    return parse_symbols(part.strip() if isinstance(part, str) else repr(part) for part in parts)


_RESOLUTIONS = ", ".join(Resolution)


def _to_resolution(value: Value) -> Resolution:
    with suppress(ValueError):
        return Resolution(str(value).lower().removeprefix("resolution."))
    raise ValueError(f"{_shown(value)} is not a resolution this server has")


_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[ T]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)


def _to_date(value: Value) -> date:
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    match [int(part) for part in match.groups()] if match else value:
        case [int() as year, int() as month, int() as day]:
            with suppress(ValueError, OverflowError):
                return date(year, month, day)
    raise ValueError(f"{_shown(value)} is not a day")


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


@frozen
class _Field:
    """A parameter: its names in any case, of which the first found wins, its conversion, and an example."""

    names: tuple[str, ...]
    convert: Callable[[Value], Any]
    example: str


_FIELDS = {
    "symbols": _Field(("symbols", "tickers"), _to_symbols, 'symbols = ["SPY", "AAPL"]'),
    "resolution": _Field(("resolution",), _to_resolution, f'resolution = "minute" ({_RESOLUTIONS})'),
    "start": _Field(("start_date", "start"), _to_date, 'start_date = "2024-01-02", date(2024, 1, 2) or (2024, 1, 2)'),
    "end": _Field(("end_date", "end"), _to_date, 'end_date = "2024-01-31", date(2024, 1, 31) or (2024, 1, 31)'),
}


def _pick(scopes: list[dict[str, Constant]], field: _Field, source: Path) -> Any:
    for wanted in field.names:
        found: dict[Any, int] = {}
        for name, constant in chain.from_iterable(scope.items() for scope in scopes):
            if name.lower() == wanted and (constant.problem or constant.value is not None):
                found.setdefault(_convert(name, constant, field, source), constant.line)
        if len(found) > 1:
            first, second, *_ = found.values()
            raise ConfigurationError(
                f"{source}: {wanted} is set on line {first} and, to another value, on line {second}; "
                "keep one of them, or name it in the request"
            )
        if found:
            return next(iter(found))
    return None


def _convert(name: str, constant: Constant, field: _Field, source: Path) -> Any:
    place = f"{source}:{constant.line}: {name}"
    if constant.problem:
        raise ConfigurationError(
            f"{place} cannot be known without running the file ({constant.problem}); "
            f"write it plainly, as in {field.example}"
        )
    try:
        return field.convert(constant.value)
    except ValueError as error:
        raise ConfigurationError(f"{place} does not fit: {error}; write it as in {field.example}") from error
