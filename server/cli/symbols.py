"""Symbols on the command line: as arguments, and from files named with an @."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from attrs import define, field

from server.lean.series import parse_symbol, symbol_problem

MAX_BYTES = 10_000_000
"""The largest file that is read."""

HEADINGS = ("symbol", "symbols", "ticker", "tickers")
"""Names of the column of symbols in a CSV file, in any case; the first of these counts where a file has several."""

_DELIMITERS = ",;\t"
_LINE_ENDS = re.compile("\r\n|\r|\n")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_SHOWN = 40


class InvalidSymbols(click.UsageError):
    """Arguments and entries of files are not symbols: one cause for each."""

    def __init__(self, causes: Sequence[str], ctx: click.Context | None) -> None:
        super().__init__("; ".join(causes), ctx)
        self.causes = tuple(causes)


@define
class _Found:
    symbols: dict[str, None] = field(factory=dict)
    causes: dict[str, None] = field(factory=dict)


def read_symbols(
    texts: Iterable[str], ctx: click.Context | None = None, param: click.Parameter | None = None
) -> tuple[str, ...]:
    """Return the symbols of arguments, each once; an argument ``@FILE`` means those in a file.

    Args:
        texts: The arguments.
        ctx: The command's, for messages.
        param: The argument or option, for messages.

    Raises:
        click.BadParameter: One argument is not a symbol.
        InvalidSymbols: Several arguments, or entries of files, are not symbols, or a file has none.
    """
    found = _Found()
    arguments = 0
    for text in texts:
        if text.startswith("@"):
            _read_file(text[1:], found)
            continue
        try:
            found.symbols[parse_symbol(text)] = None
        except ValueError as error:
            arguments += 1
            found.causes[str(error)] = None
    if len(found.causes) == 1 and arguments:
        raise click.BadParameter(next(iter(found.causes)), ctx, param)
    if found.causes:
        raise InvalidSymbols(list(found.causes), ctx)
    return tuple(found.symbols)


def parse_symbol_file(text: str, name: str) -> tuple[list[str], list[str]]:
    """Read the symbols of a text: one in each line, or a column of CSV.

    The column is the one headed ``symbol`` or ``ticker``, else the first. Blank lines and what follows a ``#`` at the
    beginning of a line or in the entry are left out.

    Args:
        text: The content of the file.
        name: The name of the file, for messages.

    Returns:
        The symbols, in order, and a sentence for each entry that is not a symbol.
    """
    symbols: list[str] = []
    causes: list[str] = []
    column: int | None = None
    delimiter = ","
    for number, line in enumerate(_LINE_ENDS.split(text), 1):
        if not line.strip(f" {_DELIMITERS}\ufeff") or line.lstrip().startswith("#"):
            continue
        if column is None:
            delimiter = next((one for one in _DELIMITERS if one in line), ",")
            heading = _heading(_cells(line, delimiter))
            column = heading or 0
            if heading is not None:
                continue
        cells = _cells(line, delimiter)
        entry = cells[column] if column < len(cells) else ""
        problem = symbol_problem(entry) if entry else "the column of symbols is empty"
        if problem:
            causes.append(f"{name} line {number}: {f'{_shown(entry)} ' if entry else ''}{problem}")
        else:
            symbols.append(entry.upper())
    return symbols, causes


def _heading(cells: Sequence[str]) -> int | None:
    """The column with a heading of symbols; None if the cells are not headings."""
    names = [cell.lower() for cell in cells]
    return next((names.index(heading) for heading in HEADINGS if heading in names), None)


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without comments."""
    (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    return [cell.partition("#")[0].strip() for cell in cells]


def _shown(entry: str) -> str:
    short = entry if len(entry) <= _LONGEST_SHOWN else entry[: _LONGEST_SHOWN - 3] + "..."
    return short if short.isprintable() else repr(short)


def _read_file(name: str, found: _Found) -> None:
    try:
        symbols, causes = parse_symbol_file(_content(name), name)
    except ValueError as error:
        found.causes[str(error)] = None
        return
    if not symbols and not causes:
        causes = [f"{name} has no symbols; write one in each line, for example SPY"]
    found.symbols.update(dict.fromkeys(symbols))
    found.causes.update(dict.fromkeys(causes))


def _content(name: str) -> str:
    """The text of a file.

    Raises:
        ValueError: It cannot be read, is too large, or is not text.
    """
    if not name or "\0" in name:
        raise ValueError("@ is followed by no file; write the file of symbols after it, for example @symbols.txt")
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"there is no file {name}; @ is followed by a file of symbols, one in each line") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES:,} bytes; it must be a list of symbols")
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text; save it as UTF-8") from error
