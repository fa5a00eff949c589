"""A data folder on disk whose files a test damages, checked and repaired as before a backtest."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from server.backtest.data_check import DataCheck, DataRequest, check_data
from server.backtest.data_repair import CheckedData, check_and_repair
from server.core.cancel import CancelToken
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.errors import ProviderUnavailable
from server.lean.layout import FACTOR_FILES, MAP_FILES, layout_of
from server.lean.series import Resolution, Series
from tests.support.harness import Rig, calendar
from tests.support.lean_feed import ENGINE_RAN_ON, content_of
from tests.support.scripted_provider import ScriptedProvider, raising

OUTAGE = ProviderUnavailable("the vendor cannot be reached")


@contextmanager
def opened(root: Path) -> Iterator[DataFolder]:
    """The data folder at a path, with a ledger."""
    folder = DataFolder.open(root, calendar())
    try:
        yield folder
    finally:
        folder.close()


def put(root: Path, files: Mapping[str, Any]) -> None:
    """Write files by path, zips by their members, and the folders of factor and map files."""
    for name in (MAP_FILES, FACTOR_FILES):
        (root / name).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content_of(content))


def zipped(*members: tuple[str, str]) -> bytes:
    """A zip with these members in this order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return packed.getvalue()


def path_of(series: Series, day: date | None = None) -> str:
    """The path of a file below the data folder."""
    return layout_of(series).path(day)


def check(
    folder: DataFolder,
    symbols: Sequence[str],
    resolution: Resolution,
    days: Sequence[date],
    *further: DataRequest,
    **more: Any,
) -> DataCheck:
    """Check the data of a backtest."""
    own = DataRequest(symbols=tuple(symbols), resolution=resolution, days=tuple(days))
    return check_data(folder, (own, *further), today=ENGINE_RAN_ON, cancel=CancelToken(), **more)


@contextmanager
def downloading(rig: Rig, provider: ScriptedProvider) -> Iterator[DataDownloader]:
    """A downloader over the rig's data folder."""
    with rig.downloader(provider.hosted()) as downloader:
        yield downloader


def repair(
    rig: Rig, series: Series, days: Sequence[date], fetch: Callable[..., Any] | None = None, **more: Any
) -> CheckedData:
    """Check and repair the data of a backtest over one series; without `fetch` the vendor cannot be reached."""
    with downloading(rig, ScriptedProvider(fetch or raising(OUTAGE))) as downloader:
        return check_and_repair(
            downloader.folder,
            downloader,
            [series.ticker],
            series.resolution,
            days,
            today=ENGINE_RAN_ON,
            cancel=CancelToken(),
            **more,
        )
