"""Opens every file of a data folder and names those that LEAN could not have written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.data_download.availability import Gap
from server.data_download.catalog import DamagedFile
from server.data_download.data_folder import DataFolder
from server.lean.errors import FormatError
from server.lean.layout import EQUITY_USA, layout_of, parse_path
from server.lean.series import DataType, Resolution, Series


@frozen(kw_only=True)
class VerifyResult:
    """What a check of all files found. ``gaps`` are the days of the damaged files, as far as they are known."""

    files: int
    damaged: tuple[DamagedFile, ...]
    gaps: tuple[Gap, ...]


def verify(
    folder: DataFolder,
    resolution: Resolution,
    symbols: Collection[str] = (),
    *,
    cancel: CancelToken,
    progress: Callable[[int], object] = lambda files: None,
) -> VerifyResult:
    """Open every file of a resolution.

    Args:
        folder: The data folder.
        resolution: The length of a bar.
        symbols: Only these; all where it is empty.
        cancel: Stops the work when cancelled.
        progress: Receives the number of files opened so far.
    """
    files = 0
    damaged: list[DamagedFile] = []
    days: defaultdict[Series, set[date]] = defaultdict(set)
    for path, series, day in folder.catalog.files(resolution, symbols):
        if cancel.cancelled:
            break
        files += 1
        try:
            layout_of(series).check_zip(path.read_bytes(), day)
        except (FormatError, OSError) as error:
            damaged.append(DamagedFile(path=path, reason=str(error)))
            days[series] |= folder.catalog.days_once_held(series, day)
            if day:
                folder.ledger.forget_file(series, day)
        progress(files)
    gaps = [Gap(series=series, days=tuple(sorted(known))) for series, known in days.items() if known]
    return VerifyResult(files=files, damaged=tuple(damaged), gaps=tuple(gaps))


def check_folder(data_folder: Path, *, strict: bool = True) -> int:
    """Check every file of trade bars of a data folder.

    Args:
        data_folder: LEAN's data folder.
        strict: As in `Layout.check_zip`.

    Returns:
        The number of files.

    Raises:
        FormatError: Names the first file that is wrong.
    """
    count = 0
    for path in sorted((data_folder / EQUITY_USA).rglob("*.zip")):
        found = parse_path(path.relative_to(data_folder).as_posix())
        if found is None or found[0].data_type is not DataType.TRADE:
            continue
        series, day = found
        try:
            layout_of(series).check_zip(path.read_bytes(), day, strict=strict)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        count += 1
    return count
