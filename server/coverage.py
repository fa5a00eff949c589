"""Answers what a data folder holds of a request: the state of each trading day, and the factor and map files."""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import partial

from attrs import frozen

from server.core.cancel import CancelToken
from server.corporate_actions.summary import FactorFile, MapFile, ShareFiles, share_files
from server.data_download.availability import DayState
from server.data_download.daily_kinds import DailyKinds, read_kinds
from server.data_download.findings import Doubt, OtherHolder
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.workspace import Workspace


@frozen(kw_only=True)
class SymbolCoverage:
    """One symbol's trading days by state, and its factor and map file.

    Attributes:
        counts: Number of days in each state that occurs.
        factor_file, map_file: None where the file does not exist.
        other_holders: Earlier holders of the ticker, whose bars are within the range.
        doubts: What may be wrong within the range.
        daily_bars: The kinds of daily bars in each file of the symbol's tickers; empty at other resolutions.
    """

    counts: dict[str, int]
    days: dict[date, DayState]
    factor_file: FactorFile | None
    map_file: MapFile | None
    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    daily_bars: tuple[DailyKinds, ...] = ()

    @property
    def absent(self) -> int:
        """Number of days that are missing or damaged."""
        return self.counts.get(DayState.MISSING.value, 0) + self.counts.get(DayState.DAMAGED.value, 0)

    @property
    def files(self) -> ShareFiles:
        """The factor and the map file."""
        return ShareFiles(factor_file=self.factor_file, map_file=self.map_file)

    @property
    def sentence(self) -> str:
        """The factor and the map file, and the kinds of daily bars, as one line of text."""
        return "; ".join([self.files.sentence, *(kinds.sentence for kinds in self.daily_bars)])


@frozen(kw_only=True)
class Coverage:
    """What a data folder holds of some symbols in a range of days, both included."""

    resolution: Resolution
    start: date
    end: date
    symbols: dict[str, SymbolCoverage]
    notices: tuple[str, ...]


def read_coverage(workspace: Workspace, request: DownloadRequest, cancel: CancelToken | None = None) -> Coverage:
    """Read what the data folder holds of a request; opens no provider and sends no request.

    Args:
        workspace: The data folder with its ledger and calendar.
        request: Symbols, resolution and days.
        cancel: Stops the scan.

    Raises:
        ConfigurationError: The range lies outside the calendar or entirely in the future.
        Cancelled: It was cancelled.
    """
    found = workspace.downloader().plan(request, cancel)
    symbols, notices = {}, list(found.notices)
    for symbol, states in found.states.items():
        files = share_files(workspace.folder.path, symbol, workspace.calendar, start=request.start, end=request.end)
        found_besides = workspace.findings([symbol], request.start, request.end)
        series = [part.series for part in found.series[symbol]]
        kinds = [one for one in map(partial(read_kinds, workspace.folder), series) if one is not None]
        notices += [*found_besides.sentences, *found_besides.accepted_sentences]
        notices += [one.notice for one in kinds if one.notice]
        symbols[symbol] = SymbolCoverage(
            counts=dict(Counter(state.value for state in states.values())),
            days=states,
            factor_file=files.factor_file,
            map_file=files.map_file,
            other_holders=found_besides.other_holders,
            doubts=found_besides.doubts,
            daily_bars=tuple(kinds),
        )
    return Coverage(
        resolution=request.resolution,
        start=request.start,
        end=request.end,
        symbols=symbols,
        notices=tuple(notices),
    )
