"""Opens every file of a data folder and names what LEAN could not have written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.data_download.data_folder import DamagedFile, DataFolder
from server.data_download.model import Gap
from server.lean.check import check_zip, identify
from server.lean.layout import EQUITY_USA
from server.lean.series import Resolution, parse_symbol
from server.lean.zip import FormatError


@frozen(kw_only=True)
class Verified:
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
) -> Verified:
    """Open every file of a resolution.

    Args:
        symbols: Only these; all if there are none.
        progress: Told how many files were opened so far.
    """
    files = 0
    damaged: list[DamagedFile] = []
    days: defaultdict[str, set[date]] = defaultdict(set)
    for path, symbol, day in _files(folder.path, resolution, symbols):
        if cancel.cancelled:
            break
        files += 1
        try:
            check_zip(path.read_bytes(), symbol, resolution, day)
        except (FormatError, OSError) as error:
            damaged.append(DamagedFile(path=path, reason=str(error)))
            folder.ledger.forget_file(symbol, resolution, day) if day else None
            days[symbol].update([day] if day else folder.days_once_held(symbol, path))
        progress(files)
    gaps = [
        Gap(symbol=symbol, resolution=resolution, days=tuple(sorted(known))) for symbol, known in days.items() if known
    ]
    return Verified(files=files, damaged=tuple(damaged), gaps=tuple(gaps))


def _files(
    data_folder: Path, resolution: Resolution, symbols: Collection[str]
) -> Iterator[tuple[Path, str, date | None]]:
    """The trade bar zips of a resolution, in the order of their names."""
    root = data_folder / EQUITY_USA
    for path in sorted((root / resolution.value).rglob("*.zip")):
        try:
            known = identify(path.relative_to(root).as_posix())
            symbol = parse_symbol(known[0]) if known else None
        except ValueError:
            continue
        if known and symbol and (not symbols or symbol in symbols):
            yield path, symbol, known[2]
