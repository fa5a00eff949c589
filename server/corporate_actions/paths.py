"""Where LEAN keeps factor files and map files, and what is read of them. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from server.corporate_actions.factor_file import FactorRow, read_factor_file
from server.corporate_actions.map_file import MapRow, read_map_file
from server.lean.errors import FormatError
from server.lean.layout import EQUITY_USA
from server.lean.series import parse_symbol

FACTOR_FILES, MAP_FILES = f"{EQUITY_USA}/factor_files", f"{EQUITY_USA}/map_files"
"""The folders below the data folder (LEAN: ``LocalDiskFactorFileProvider``, ``LocalDiskMapFileProvider``)."""

Row = TypeVar("Row", FactorRow, MapRow)


def factor_file_path(root: Path, symbol: str) -> Path:
    """Where LEAN looks for the factor file of a share: by the name of its map file, in lower case.

    Args:
        root: LEAN's data folder.
        symbol: The share's ticker today, or its last one.

    Raises:
        ValueError: It is no US equity symbol; no path is built from it.
    """
    return root / FACTOR_FILES / _name(symbol)


def map_file_path(root: Path, symbol: str) -> Path:
    """Where the map file of a share is.

    Args:
        root: LEAN's data folder.
        symbol: The share's ticker today, or its last one.

    Raises:
        ValueError: It is no US equity symbol; no path is built from it.
    """
    return root / MAP_FILES / _name(symbol)


def load_factor_rows(root: Path, symbol: str) -> list[FactorRow] | None:
    """The rows that LEAN has of the share's factor file, ascending; None where there is no file.

    Raises:
        FormatError: The file cannot be opened, or LEAN would pass over it (see `read_factor_file`).
        ValueError: It is no US equity symbol.
    """
    return _load(factor_file_path(root, symbol), read_factor_file)


def load_map_rows(root: Path, symbol: str) -> list[MapRow] | None:
    """The rows that LEAN has of the share's map file, ascending; None where there is no file.

    Raises:
        FormatError: The file cannot be opened, or LEAN would pass over it or stop at it (see `read_map_file`).
        ValueError: It is no US equity symbol.
    """
    return _load(map_file_path(root, symbol), read_map_file)


def _name(symbol: str) -> str:
    return f"{parse_symbol(symbol).lower()}.csv"


def read_text(path: Path) -> str | None:
    """The text of such a file as C# reads it; None where there is no file.

    Raises:
        FormatError: It cannot be opened.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FormatError(f"it cannot be read ({error.strerror or error})") from error
    return content.decode("utf-8", "replace")  # what is no UTF-8 becomes a sign that no row has


def _load(path: Path, read: Callable[[str], list[Row]]) -> list[Row] | None:
    text = read_text(path)
    return None if text is None else read(text)
