"""Map files that are built before a download: one symbol's failure does not affect the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import frozen

from server.core.cancel import CancelToken
from server.core.events import EventStream
from server.corporate_actions.auto_refresh import AutoRefresh
from server.data_download.errors import AuthenticationError, BadResponseError
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from tests.support.harness import Rig

SYMBOLS = ("BAD", "ELV", "META")
REQUEST = DownloadRequest(symbols=SYMBOLS, resolution=Resolution.DAILY, start=date(2022, 1, 3), end=date(2022, 12, 30))


@frozen
class Service:
    """Builds the map files of shares that were all renamed; one call raises an error for one symbol."""

    folder: Path
    failing: str
    error: Exception
    asked: list[str]

    def was_renamed(self, symbol: str) -> bool:
        """Whether the share has an earlier ticker."""
        self.asked.append(symbol)
        self._fail("was_renamed", symbol)
        return True

    def build_map(self, symbol: str) -> None:
        """Write the share's map file."""
        self._fail("build_map", symbol)
        (self.folder / f"{symbol.lower()}.csv").write_text("20200102,old\n")

    def _fail(self, call: str, symbol: str) -> None:
        if (call, symbol) == (self.failing, "BAD"):
            raise self.error


def build_before(rig: Rig, failing: str, error: Exception) -> tuple[bool, list[str], list[str]]:
    """What `AutoRefresh.before` returns, which map files there are then, and which symbols were asked for."""
    folder = rig.data / "equity/usa/map_files"
    folder.mkdir(parents=True)
    service = Service(folder, failing, error, [])

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[Service]:
        yield service

    @contextmanager
    def locked(*_: object) -> Iterator[None]:
        yield

    with rig.downloader() as downloader:
        context = SimpleNamespace(
            folder=downloader.folder,
            provider="acme",
            check=lambda: None,
            opened=opened,
            locked=locked,
            last_settled=lambda: REQUEST.end,
        )
        refresh = AutoRefresh(context=context)  # type: ignore[arg-type]
        changed = refresh.before(SYMBOLS, REQUEST, EventStream(lambda: rig.now), CancelToken())
    return changed, sorted(path.stem for path in folder.iterdir()), service.asked


@pytest.mark.parametrize("failing", ["was_renamed", "build_map"])
def test_the_other_symbols_get_their_map_files(tmp_path: Path, failing: str) -> None:
    """And the download is planned again, since tickers of days have changed."""
    changed, built, asked = build_before(Rig(tmp_path), failing, BadResponseError("no list", symbol="BAD"))

    assert (changed, built, sorted(asked)) == (True, ["elv", "meta"], sorted(SYMBOLS))


def test_an_error_that_concerns_all_symbols_ends_it(tmp_path: Path) -> None:
    """With a wrong key one request is enough."""
    changed, built, asked = build_before(Rig(tmp_path), "was_renamed", AuthenticationError("wrong key"))

    assert (changed, built, asked) == (False, [], ["BAD"])
