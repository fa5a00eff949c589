"""An existing factor or map file: whether this program wrote it, how it differs from a built one, replacing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

from attrs import evolve, frozen

from server.data_download.data_folder import DataFolder
from server.data_download.ledger import digest
from server.data_download.report import FileOutcome
from server.lean.errors import FormatError
from server.lean.factor_file import PRICE_DIGITS, REFERENCE_DIGITS, SPLIT_DIGITS, FactorRow, field_texts
from server.lean.map_file import MapRow

Row = TypeVar("Row", FactorRow, MapRow)

DIFFERENCES_SHOWN = 5

SPLIT_TOLERANCE = Fraction(5, 1_000_000)
"""Relative. QuantConnect's split factors are products of ratios that its vendor gave with six significant digits."""


@frozen(kw_only=True)
class ExistingFile(Generic[Row]):
    """The file at a path below the data folder, or its absence.

    Attributes:
        path: Relative to the data folder.
        parse: The parser of its text.
        content: None if there is no file.
        rows: None if there is no file or LEAN cannot use it; then `problem` says why.
        ours: Whether this program wrote this very content.
    """

    path: str
    parse: Callable[[str], list[Row]]
    content: bytes | None = None
    rows: list[Row] | None = None
    problem: str = ""
    ours: bool = False

    @classmethod
    def load(cls, folder: DataFolder, path: Path, parse: Callable[[str], list[Row]]) -> ExistingFile[Row]:
        """Read the file at a path in the data folder. Nothing is raised: what is wrong with it is its `problem`."""
        relative = path.relative_to(folder.path).as_posix()
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(path=relative, parse=parse)
        except OSError as error:
            problem = f"it cannot be read: {error.strerror or error}"
            return cls(path=relative, parse=parse, content=b"", problem=problem)
        rows: list[Row] | None = None
        problem = ""
        try:
            rows = parse(content.decode("utf-8", "replace"))
        except FormatError as error:
            problem = str(error)
        ours = folder.ledger.wrote(relative, content)
        return cls(path=relative, parse=parse, content=content, rows=rows, problem=problem, ours=ours)

    @property
    def is_foreign(self) -> bool:
        """Whether there is a file that another program wrote."""
        return self.content is not None and not self.ours

    def recognized(self, own: bool) -> ExistingFile[Row]:
        """Return the file as this program's own if it equals what this program writes, whichever program wrote it."""
        return evolve(self, ours=True) if own and self.content is not None else self

    def replace_with(self, text: str, folder: DataFolder, symbol: str, *, replace_foreign: bool) -> FileOutcome:
        """Write the text to the path, unless the file already holds it or another program wrote the file.

        Args:
            text: The new text of the file.
            folder: The data folder.
            symbol: The symbol.
            replace_foreign: Also replace a file that another program wrote.

        Raises:
            WriteFailedError: The file could not be written and is unchanged.
        """
        if self.content == text.encode():
            if not folder.ledger.wrote(self.path, self.content):
                folder.ledger.record_text(self.path, digest(self.content), only=True)
            return "unchanged"
        if self.is_foreign and not replace_foreign:
            return "kept"
        folder.writer.write_text(symbol, self.path, text, self.parse)
        return "written"

    def extend_to(self, rows: Sequence[Row], text: str, folder: DataFolder, symbol: str) -> FileOutcome:
        """Replace a file of another program by one with later events; the previous one is kept next to it.

        Args:
            rows: The rows with the later events; a file that has the same is not written.
            text: Their text.
            folder: The data folder.
            symbol: The symbol.

        Raises:
            WriteFailedError: The file could not be written and is unchanged.
        """
        if rows == self.rows:
            return "unchanged"
        folder.writer.extend_text(symbol, self.path, text, self.parse)
        return "extended"

    def notices(self, symbol: str, kind: str, outcome: FileOutcome) -> list[str]:
        """Return a notice if the file was kept because another program wrote it.

        Args:
            symbol: The symbol.
            kind: ``factor`` or ``map``.
            outcome: What happened to the file.
        """
        if outcome != "kept":
            return []
        problem = f" and LEAN cannot use it ({self.problem})" if self.problem else ""
        return [
            f"the {kind} file of {symbol} was not written by backtest-server{problem}, so it is kept; "
            "--replace replaces it"
        ]


@frozen
class Differences:
    """How an existing file differs from the built one.

    Attributes:
        count: Rows that are in one of them only, or differ.
        sentences: One for each of the first of them; "ours" is the built file, "theirs" the existing one.
    """

    count: int = 0
    sentences: tuple[str, ...] = ()


def factor_differences(
    ours: Sequence[FactorRow], foreign: Sequence[FactorRow], limit: int = DIFFERENCES_SHOWN
) -> Differences:
    """Compare two factor files, the newest row first: an event that one of them lacks shows in all older rows.

    Numbers are equal within one unit of the last digit printed, and split factors within `SPLIT_TOLERANCE`.
    """
    return _differences(ours, foreign, _factors_text, _factor_difference, limit)


def map_differences(ours: Sequence[MapRow], foreign: Sequence[MapRow], limit: int = DIFFERENCES_SHOWN) -> Differences:
    """Compare two map files, the newest row first."""
    return _differences(ours, foreign, _ticker_text, _ticker_difference, limit)


def _differences(
    ours: Sequence[Row],
    foreign: Sequence[Row],
    text: Callable[[Row], str],
    difference: Callable[[Row, Row], str],
    limit: int,
) -> Differences:
    our_rows, their_rows = ({row.date: row for row in rows} for rows in (ours, foreign))
    sentences = []
    for day in sorted(our_rows.keys() | their_rows.keys(), reverse=True):
        if day not in their_rows:
            sentences.append(f"{day}: only ours has this row ({text(our_rows[day])})")
        elif day not in our_rows:
            sentences.append(f"{day}: only theirs has this row ({text(their_rows[day])})")
        elif what := difference(our_rows[day], their_rows[day]):
            sentences.append(f"{day}: {what}")
    return Differences(len(sentences), tuple(sentences[:limit]))


def _factors_text(row: FactorRow) -> str:
    price, split, reference = field_texts(row)
    return f"price factor {price}, split factor {split}, close {reference}"


def _factor_difference(ours: FactorRow, foreign: FactorRow) -> str:
    differs = (
        _differs(ours.price_factor, foreign.price_factor, PRICE_DIGITS),
        _differs(ours.split_factor, foreign.split_factor, SPLIT_DIGITS)
        and abs(ours.split_factor - foreign.split_factor) > SPLIT_TOLERANCE * abs(foreign.split_factor),
        _differs(ours.reference, foreign.reference, REFERENCE_DIGITS),
    )
    names = ("price factor", "split factor", "close")
    fields = zip(names, field_texts(ours), field_texts(foreign), differs, strict=True)
    return ", ".join(f"{name} {our} in ours, {their} in theirs" for name, our, their, shown in fields if shown)


def _differs(ours: Fraction, foreign: Fraction, digits: int) -> bool:
    return abs(round(ours, digits) - round(foreign, digits)) > Fraction(1, 10**digits)


def _ticker_text(row: MapRow) -> str:
    return f"{row.ticker}, {f'exchange {row.exchange}' if row.exchange else 'no exchange'}"


def _ticker_difference(ours: MapRow, foreign: MapRow) -> str:
    return "" if ours == foreign else f"{_ticker_text(ours)} in ours, {_ticker_text(foreign)} in theirs"
