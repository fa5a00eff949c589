"""Paths of factor files and map files in the data folder, and reading them. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from attrs import evolve

from server.data_download.findings import Findings
from server.data_download.ledger import CorporateCheck, digest
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, parse_factor_file
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import MapRow, parse_map_file
from server.lean.series import parse_symbol

Row = TypeVar("Row", FactorRow, MapRow)


def factor_file_path(root: Path, symbol: str) -> Path:
    """Return where LEAN looks for the factor file of a share: by the name of its map file, in lower case.

    Args:
        root: LEAN's data folder.
        symbol: The share's ticker today, or its last one.

    Raises:
        ValueError: It is not a US equity symbol; no path is built from it.
    """
    return root / FACTOR_FILES / _name(symbol)


def map_file_path(root: Path, symbol: str) -> Path:
    """Return the path of the map file of a share.

    Args:
        root: LEAN's data folder.
        symbol: The share's ticker today, or its last one.

    Raises:
        ValueError: It is not a US equity symbol; no path is built from it.
    """
    return root / MAP_FILES / _name(symbol)


def load_factor_rows(root: Path, symbol: str) -> list[FactorRow] | None:
    """Return the rows that LEAN reads from the share's factor file, ascending; None if there is no file.

    Raises:
        FormatError: The file cannot be opened, or LEAN would ignore it (see `parse_factor_file`).
        ValueError: It is not a US equity symbol.
    """
    return _load(factor_file_path(root, symbol), parse_factor_file)


def load_map_rows(root: Path, symbol: str) -> list[MapRow] | None:
    """Return the rows that LEAN reads from the share's map file, ascending; None if there is no file.

    Raises:
        FormatError: The file cannot be opened, or LEAN would ignore it or stop at it (see `parse_map_file`).
        ValueError: It is not a US equity symbol.
    """
    return _load(map_file_path(root, symbol), parse_map_file)


def digest_of_files(root: Path, symbol: str) -> bytes:
    """Return a digest of a symbol's factor and map files; a file that cannot be read counts as empty.

    Raises:
        ValueError: It is not a US equity symbol.
    """
    contents = []
    for path in (factor_file_path(root, symbol), map_file_path(root, symbol)):
        try:
            contents.append(digest(path.read_bytes()))
        except OSError:
            contents.append(b"")
    return digest(b"".join(contents))


def recorded_findings(root: Path, symbol: str, check: CorporateCheck) -> Findings:
    """Return what a check found, without the events that files lacked which have changed since."""
    if check.files and check.files != digest_of_files(root, symbol):
        return evolve(check.findings, later_events=())
    return check.findings


def _name(symbol: str) -> str:
    return f"{parse_symbol(symbol).lower()}.csv"


def read_text(path: Path) -> str | None:
    """Return the text of such a file as C# reads it; None if there is no file.

    Raises:
        FormatError: It cannot be opened.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FormatError(f"it cannot be read ({error.strerror or error})") from error
    return content.decode("utf-8", "replace")  # invalid UTF-8 becomes a character that no row has


def _load(path: Path, read: Callable[[str], list[Row]]) -> list[Row] | None:
    text = read_text(path)
    return None if text is None else read(text)
