"""Factor and map files made by themselves beside a download of bars: at most once a day for each symbol.

Nothing is loaded and nothing sent where the day's check is done. Nothing here fails the download.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventStream
from server.corporate_actions.context import (
    PHASE,
    Work,
    first_alone,
    ignored_for,
)
from server.corporate_actions.model import Renames
from server.data_download.errors import BadResponseError, SymbolNotFoundError
from server.data_download.ledger import CorporateCheck
from server.data_download.report import CorporateFiles
from server.data_download.request import DownloadRequest
from server.lean.layout import EQUITY_USA

if TYPE_CHECKING:
    from server.corporate_actions.service import CorporateActions

TROUBLE_LASTS = timedelta(hours=1)
"""After a check that came to nothing no other one is made by itself for so long."""

_FOLDERS = ("factor_files", "map_files")


@frozen(kw_only=True)
class DailyCheck:
    """Makes the files of the symbols of one download (see `Companion`)."""

    work: Work
    _told: dict[str, Renames] = field(factory=dict, init=False)

    def before(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> bool:
        """Make the map files of renamed shares that have none; the rest can wait until the bars are there."""
        due = [
            symbol
            for symbol, check in self._due(symbols, request)
            if not self._in_trouble(check) and not self._path("map_files", symbol).exists()
        ]
        made = False
        with suppress(Exception):  # a source may be anybody's; `after` says what is still so then
            if due:
                self.work.check()
                made = self._make_maps(due, events, cancel)
        return made

    def after(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> tuple[CorporateFiles, ...]:
        """Make the files of symbols of which it was not done today."""
        due = list(self._due(symbols, request))
        if not due:
            return ()
        found: list[CorporateFiles] = []
        failed = {symbol: check.trouble for symbol, check in due if check and self._in_trouble(check)}
        asked = {symbol: check.since if check else None for symbol, check in due if symbol not in failed}
        try:
            if asked:
                self.work.check()
                self._make(asked, request, events, cancel, found, failed)
        except Exception as error:
            why = (
                str(error) if isinstance(error, BacktestServerError) else f"unexpected: {type(error).__name__}: {error}"
            )
            made = {files.symbol for files in found}
            failed |= {symbol: why for symbol in asked if symbol not in made and symbol not in failed}
        self._tell(found, failed, events)
        return (*found, *(self._failed(symbol, why) for symbol, why in failed.items()))

    def _make_maps(self, symbols: Sequence[str], events: EventStream, cancel: CancelToken) -> bool:
        made = False
        with self.work.opened(events, cancel, told=self._told) as service:
            renamed = dict(first_alone(symbols, lambda symbol: (symbol, service.was_renamed(symbol))))
            for symbol in symbols:
                if renamed[symbol]:
                    with self.work.alone(symbol, events, cancel):
                        made |= service.make_map(symbol).files.map_file == "written"
        return made

    def _make(
        self,
        asked: Mapping[str, date | None],
        request: DownloadRequest,
        events: EventStream,
        cancel: CancelToken,
        found: list[CorporateFiles],
        failed: dict[str, str],
    ) -> None:
        from server.corporate_actions.factor_file import FactorFileError

        everybodys: list[str] = []  # a failure that the other symbols would meet as well

        def make(symbol: str) -> None:
            if everybodys or cancel.cancelled:
                return
            try:
                with self.work.alone(symbol, events, cancel):
                    if self._still_due(symbol, request):  # another run may have made it meanwhile
                        found.append(self._make_one(service, symbol, asked[symbol], request))
                    else:
                        done.add(symbol)
            except Cancelled:
                return
            except (FactorFileError, BadResponseError, SymbolNotFoundError) as error:
                failed[symbol] = str(error)
                self._remember_trouble(symbol, asked[symbol], request, str(error))
            except BacktestServerError as error:
                everybodys.append(str(error))

        done: set[str] = set()
        with self.work.opened(events, cancel, told=self._told) as service:
            list(first_alone(list(asked), make))
        done |= {files.symbol for files in found} | failed.keys()
        for symbol in [symbol for symbol in asked if symbol not in done] if everybodys else ():
            failed[symbol] = everybodys[0]
            self._remember_trouble(symbol, asked[symbol], request, everybodys[0])
        order = list(asked)
        found.sort(key=lambda files: order.index(files.symbol))
        ignored = ignored_for(self.work.folder.path, found)
        if ignored:
            found[0] = evolve(found[0], notices=(*found[0].notices, ignored))

    def _make_one(
        self, service: CorporateActions, symbol: str, since: date | None, request: DownloadRequest
    ) -> CorporateFiles:
        made = service.make(symbol, since)
        self.work.record(
            symbol,
            asked_from=min(made.first_day or request.start, request.start),
            since=since,
            made=made.first_day is not None,
        )
        if since is None or request.start >= since:
            return made.files
        notice = (
            f"the factor file of {symbol} was made with --since {since}, so LEAN reads nothing before that day; "
            f"backtest-server factor-files {symbol} makes it whole"
        )
        return evolve(made.files, notices=(*made.files.notices, notice))

    def _remember_trouble(self, symbol: str, since: date | None, request: DownloadRequest, trouble: str) -> None:
        with suppress(BacktestServerError):  # a full disk, say, which is the trouble itself
            self.work.record(symbol, asked_from=request.start, since=since, trouble=trouble)

    # --- what is due ---

    def _due(self, symbols: Sequence[str], request: DownloadRequest) -> Iterator[tuple[str, CorporateCheck | None]]:
        """The symbols that were not checked today, with the last check of each that was."""
        checks = self.work.folder.ledger.corporate_checks(symbols)
        for symbol in symbols:
            check = checks.get(symbol)
            if not self._done(symbol, check, request) and not self._all_theirs(symbol):
                yield symbol, check

    def _still_due(self, symbol: str, request: DownloadRequest) -> bool:
        return not self._done(symbol, self.work.folder.ledger.corporate_checks([symbol]).get(symbol), request)

    def _done(self, symbol: str, check: CorporateCheck | None, request: DownloadRequest) -> bool:
        return (
            check is not None
            and check.provider == self.work.provider
            and not check.trouble
            and self.work.same_day(check.checked_at)
            and check.asked_from is not None
            and check.asked_from <= request.start
            and (not check.made or all(self._path(folder, symbol).exists() for folder in _FOLDERS))
        )

    def _in_trouble(self, check: CorporateCheck | None) -> bool:
        return (
            check is not None
            and check.provider == self.work.provider
            and bool(check.trouble)
            and self.work.lately(check.checked_at, TROUBLE_LASTS)
        )

    def _all_theirs(self, symbol: str) -> bool:
        """Whether both files are there and neither is ours: then nothing would be written."""
        for folder in _FOLDERS:
            path = self._path(folder, symbol)
            try:
                content = path.read_bytes()
            except OSError:
                return False
            if self.work.folder.ledger.wrote(f"{EQUITY_USA}/{folder}/{path.name}", content):
                return False
        return True

    def _path(self, folder: str, symbol: str) -> Path:
        return self.work.folder.path / EQUITY_USA / folder / f"{symbol.lower()}.csv"

    # --- telling ---

    def _failed(self, symbol: str, why: str) -> CorporateFiles:
        """What is said of a symbol whose files could not be made: those that stand there are kept."""
        factor, map_file = (self._path(folder, symbol).exists() for folder in _FOLDERS)
        return CorporateFiles(
            symbol=symbol,
            factor_file="kept" if factor else "none",
            map_file="kept" if map_file else "none",
            notices=(why,),
        )

    def _tell(self, found: Sequence[CorporateFiles], failed: Mapping[str, str], events: EventStream) -> None:
        """What was written and what people should know; one notice for all symbols that lack a file for one reason."""
        for files in found:
            outcomes = (("factor file", files.factor_file), ("map file", files.map_file))
            written = [kind for kind, outcome in outcomes if outcome == "written"]
            if written:
                message = f"{files.symbol}: wrote its {' and its '.join(written)}"
                events.emit(Event(kind="notice", phase=PHASE, symbol=files.symbol, message=message, transient=True))
            if files.factor_file != "kept":
                for notice in files.notices:
                    events.emit(Event(kind="notice", symbol=files.symbol, message=notice))
        bare: dict[str, list[str]] = {}
        for symbol, why in failed.items():
            if not self._path("factor_files", symbol).exists():
                bare.setdefault(why, []).append(symbol)
        for why, symbols in bare.items():
            names = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
            message = (
                f"no factor file for {names}, so LEAN runs on raw prices there, in which a split looks like a crash: "
                f"{why}. Once that is mended: backtest-server factor-files {' '.join(symbols[:5])}; or set "
                "corporate-actions to off"
            )
            events.emit(Event(kind="notice", message=message))
