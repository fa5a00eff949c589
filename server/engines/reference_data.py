"""LEAN's reference data: market hours, symbol properties and interest rates, copied where the data folder lacks them.

LEAN runs no backtest without the first two (``MarketHoursDatabase.FromDataFolder``, ``SymbolPropertiesDatabase``); they
are LEAN's and are never part of this program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import ToolFailedError, ToolMissingError
from server.core.text import count_text, list_text
from server.data_download.files import put_text, translate_os_errors, write_target
from server.engines.docker import ImageFiles, open_image

MARKET_HOURS = "market-hours/market-hours-database.json"
SYMBOL_PROPERTIES = "symbol-properties/symbol-properties-database.csv"
INTEREST_RATES = "alternative/interest-rate/usa/interest-rate.csv"

REQUIRED_FILES = (MARKET_HOURS, SYMBOL_PROPERTIES)
FOLDERS = ("market-hours", "symbol-properties", "alternative/interest-rate/usa")
"""The folders below LEAN's folder Data that hold the reference data."""

IMAGE_DATA = "/Lean/Data"
"""The folder Data of LEAN's image."""

_WRITER = "reference-data"


@frozen(kw_only=True)
class ReferenceSource:
    """A place that LEAN's reference data is copied from.

    Attributes:
        name: The place, for messages.
        folders: The folders Data to read, the first one first; for an image temporary ones.
        quick: Whether reading it takes no time, so that files beyond the necessary ones are looked for in every run.
    """

    name: str
    folders: Callable[[CancelToken], AbstractContextManager[Sequence[Path]]]
    quick: bool = True


def launcher_source(folders: Sequence[Path]) -> ReferenceSource:
    """Return the source of a launcher on this machine.

    Args:
        folders: The folders Data that belong to it, the first one first.
    """

    @contextmanager
    def given(cancel: CancelToken) -> Iterator[Sequence[Path]]:
        yield folders

    return ReferenceSource(name=" or ".join(map(str, folders)), folders=given)


def image_source(docker: Path, image: str, environ: Mapping[str, str]) -> ReferenceSource:
    """Return the source of LEAN's image.

    Args:
        docker: The program docker.
        image: The name of the image, which Docker has.
        environ: The environment in which docker runs.
    """

    @contextmanager
    def copied(cancel: CancelToken) -> Iterator[Sequence[Path]]:
        with tempfile.TemporaryDirectory(prefix="lean-data-") as folder:
            with open_image(docker, image, environ, cancel) as files:
                copy_reference_folders(files, Path(folder))
            yield [Path(folder)]

    return ReferenceSource(name=f"{IMAGE_DATA} of the image {image}", folders=copied, quick=False)


def copy_reference_folders(files: ImageFiles, target: Path) -> None:
    """Copy the folders of the reference data out of an image; one that the image lacks is left out.

    Args:
        files: The image.
        target: The folder Data to create them in.
    """
    for folder in FOLDERS:
        files.copy(f"{IMAGE_DATA}/{folder}", target / folder)


def prepare_reference_data(
    data_folder: Path, sources: Sequence[ReferenceSource], cancel: CancelToken | None = None
) -> tuple[str, ...]:
    """Copy LEAN's reference data into the data folder where it lacks it; existing files are not changed.

    Args:
        data_folder: LEAN's data folder.
        sources: Where the data comes from, the first one first.
        cancel: Stops it.

    Returns:
        Notices: what was copied from where, and whether interest rates are missing.

    Raises:
        ToolMissingError: The market hours or symbol properties are missing, and no source has them.
        ToolFailedError: A source cannot be read.
        WriteFailedError: A file could not be written.
        Cancelled: It was cancelled.
    """
    notices: list[str] = []
    for source in sources:
        if not source.quick and not _absent(data_folder, (*REQUIRED_FILES, INTEREST_RATES)):
            continue
        with source.folders(cancel or CancelToken()) as folders:
            copied = _copy_missing(folders, data_folder)
        if copied:
            number = count_text(len(copied), "file")
            notices.append(
                f"copied {number} of LEAN's reference data from {source.name} to {data_folder}: {list_text(copied)}"
            )
    _require(data_folder, sources)
    if _absent(data_folder, (INTEREST_RATES,)):
        notices.append(
            f"{data_folder} has no {INTEREST_RATES}, so LEAN computes Sharpe ratio and Alpha with its default rate"
        )
    return tuple(notices)


def _absent(data_folder: Path, files: Sequence[str]) -> list[str]:
    return [path for path in files if not (data_folder / path).is_file()]


def _require(data_folder: Path, sources: Sequence[ReferenceSource]) -> None:
    """Raise if LEAN could not start with the data folder."""
    absent = _absent(data_folder, REQUIRED_FILES)
    if absent:
        places = f", and neither does {' nor '.join(source.name for source in sources)}" if sources else ""
        raise ToolMissingError(
            f"LEAN needs {' and '.join(absent)}; {data_folder} does not have {'them' if len(absent) > 1 else 'it'}"
            f"{places}; run backtest-server lean install, or copy the folders market-hours and symbol-properties there "
            "from the folder Data of LEAN (lean init creates it too)"
        )
    empty = [path for path in REQUIRED_FILES if not (data_folder / path).stat().st_size]
    if empty:
        raise ToolMissingError(
            f"LEAN needs {' and '.join(empty)}, which {'are' if len(empty) > 1 else 'is'} empty in {data_folder}; "
            "delete the empty files and run again"
        )


def _copy_missing(folders: Sequence[Path], data_folder: Path) -> list[str]:
    """Copy the files of the reference folders that the data folder lacks; the first folder that has one provides it."""
    copied: list[str] = []
    for source in folders:
        for folder in FOLDERS:
            for file in _files_in(source / folder):
                target = data_folder / folder / file.name
                if not target.exists():
                    _copy(file, target)
                    copied.append(f"{folder}/{file.name}")
    return copied


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ToolFailedError(f"{folder} cannot be read: {error.strerror or error}; correct its permissions") from error


def _copy(source: Path, target: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ToolFailedError(f"{source} cannot be read: {error.strerror or error}; correct its permissions") from error
    if not content:
        return
    with translate_os_errors(target, "LEAN's reference data", is_symbol=False):
        target = write_target(target)  # a link to a file that does not exist yet stays
        put_text(target.parent, _WRITER, target.name, content, lambda read: None)
