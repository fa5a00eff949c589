"""A LEAN project's own symbols and dates, read from its ``config/parameters.py`` without running it.

The file is parsed with `ast` and only plain assignments are followed: constants, lists, dates, names set earlier
in the same file, concatenation. What would have to be run to be known is an error, never a guess.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from server.core.errors import ConfigurationError
from server.lean.series import Resolution, parse_symbol
from server.project.constants import Known, Unknown, Value, read_constants

PARAMETERS_FILE = Path("config", "parameters.py")

MAX_BYTES = 1_000_000
"""A larger parameters file is refused; people write a few hundred bytes."""

_T = TypeVar("_T")

# Field, its spellings (any case, the first found wins) and what would fit, for messages.
_SYMBOLS = ("symbols", ("symbols", "tickers"), 'symbols = ["SPY", "AAPL"]')
_RESOLUTION = ("resolution", ("resolution",), 'resolution = "minute" (daily, minute or second)')
_START = ("start", ("start_date", "start"), 'start_date = "2024-01-02", date(2024, 1, 2) or (2024, 1, 2)')
_END = ("end", ("end_date", "end"), 'end_date = "2024-01-31", date(2024, 1, 31) or (2024, 1, 31)')


@frozen(kw_only=True)
class ProjectParameters:
    """What a project says about its data; None where it says nothing.

    Attributes:
        symbols: As in the file, in capitals, repeated ones dropped.
        resolution: Length of the bars.
        start, end: First and last day, both included, New York.
        source: The file it was read from.
    """

    symbols: tuple[str, ...] | None
    resolution: Resolution | None
    start: date | None
    end: date | None
    source: Path

    @property
    def missing(self) -> tuple[str, ...]:
        """Which of symbols, start and end the file does not give (the resolution is optional)."""
        given = {"symbols": self.symbols, "start": self.start, "end": self.end}
        return tuple(name for name, value in given.items() if value is None)


def read_project_parameters(project: Path, *, skip: Collection[str] = ()) -> ProjectParameters:
    """Read ``config/parameters.py`` of a LEAN project.

    Args:
        project: The project's folder, or its main.py.
        skip: Fields (``symbols``, ``resolution``, ``start``, ``end``) that the request itself gives: they are not
            looked for, so that the file may say what it likes about them.

    Raises:
        ConfigurationError: No project, no parameters file, one that is no Python or too large, a value that cannot
            be known without running the file or does not fit; says file, line and what would fit.
    """
    source = _source(project)
    scopes = _scopes(source)

    def field(wanted: tuple[str, tuple[str, ...], str], convert: Callable[[Value], _T]) -> _T | None:
        return None if wanted[0] in skip else _pick(scopes, wanted, convert, source)

    found = ProjectParameters(
        symbols=field(_SYMBOLS, _to_symbols),
        resolution=field(_RESOLUTION, _to_resolution),
        start=field(_START, _to_date),
        end=field(_END, _to_date),
        source=source,
    )
    if found.start and found.end and found.end < found.start:
        raise ConfigurationError(f"{source}: the end {found.end} lies before the start {found.start}; swap them")
    return found


def _source(project: Path) -> Path:
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


def _scopes(source: Path) -> list[dict[str, Known | Unknown]]:
    try:
        with source.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{source} is larger than {MAX_BYTES:,} bytes; keep only the parameters in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's own style, such as "\d"
            module = ast.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8 text; save it as UTF-8") from error
    except SyntaxError as error:
        raise ConfigurationError(f"{source}:{error.lineno or 1}: not valid Python ({error.msg}); correct it") from error
    except (MemoryError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{source} is not Python that can be read; keep only plain values in it") from error
    return read_constants(module)


def _pick(
    scopes: list[dict[str, Known | Unknown]],
    wanted: tuple[str, tuple[str, ...], str],
    convert: Callable[[Value], _T],
    source: Path,
) -> _T | None:
    _, spellings, example = wanted
    for spelling in spellings:
        found: tuple[_T, int] | None = None
        for name, entry in _named(scopes, spelling):
            if isinstance(entry, Unknown):
                raise ConfigurationError(
                    f"{source}:{entry.line}: {name} cannot be known without running the file ({entry.why}); "
                    f"write it plainly, as in {example}"
                )
            try:
                value = convert(entry.value)
            except ValueError as error:
                raise ConfigurationError(
                    f"{source}:{entry.line}: {name} does not fit: {error}; write it as in {example}"
                ) from error
            if found and found[0] != value:
                raise ConfigurationError(
                    f"{source}: {spelling} stands on line {found[1]} and, with another value, on line {entry.line}; "
                    "keep one of them, or name it in the request"
                )
            found = (value, entry.line)
        if found:
            return found[0]
    return None


def _named(scopes: list[dict[str, Known | Unknown]], spelling: str) -> Iterator[tuple[str, Known | Unknown]]:
    """The entries of that name in any case; one set to None says nothing."""
    for scope in scopes:
        for name, entry in scope.items():
            if name.lower() == spelling and not (isinstance(entry, Known) and entry.value is None):
                yield name, entry


def _to_symbols(value: Value) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError(f"{value!r} is not a list of symbols")  # noqa: TRY004 - the value is the user's
    symbols = []
    for part in parts:
        if not isinstance(part, str):
            raise ValueError(f"{part!r} is not a symbol")  # noqa: TRY004
        symbols.append(parse_symbol(part.strip()))
    if not symbols:
        raise ValueError("it names no symbol")
    return tuple(dict.fromkeys(symbols))


def _to_resolution(value: Value) -> Resolution:
    if isinstance(value, str):
        try:
            return Resolution(value.lower().removeprefix("resolution."))
        except ValueError:
            pass
    raise ValueError(f"{value!r} is not a resolution this server has")


_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[ T]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)


def _to_date(value: Value) -> date:
    if isinstance(value, date):
        return value
    parts: tuple[object, ...] = ()
    if isinstance(value, tuple):
        parts = value
    elif isinstance(value, str) and (match := _DATE.fullmatch(value.strip())):
        parts = tuple(int(part) for part in match.groups())
    match parts:
        case (int() as year, int() as month, int() as day):
            try:
                return date(year, month, day)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{value!r} is not a day ({error})") from error
    shown = repr(value)
    raise ValueError(f"{shown if len(shown) <= 40 else shown[:37] + '...'} is not a day")
