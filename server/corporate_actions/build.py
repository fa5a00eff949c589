"""Factor and map files made because somebody asked for them, not beside a download."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from typing import Any

from attrs import Factory, define, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import Event, EventStream
from server.corporate_actions.context import (
    PHASE,
    Work,
    first_alone,
    ignored_for,
)
from server.corporate_actions.event_merge import tickers_of
from server.corporate_actions.existing_file import Standing, place
from server.corporate_actions.factor_file import read_factor_file
from server.corporate_actions.map_file import read_map_file
from server.corporate_actions.paths import factor_file_path, map_file_path
from server.corporate_actions.service import CorporateActions, Made
from server.data_download.errors import BadResponseError, SymbolNotFoundError
from server.data_download.report import CorporateFiles

_OF_ONE_SYMBOL = (BadResponseError, SymbolNotFoundError)


@frozen(kw_only=True)
class Asked:
    """What was asked for.

    Attributes:
        since: The day at which the factor files begin; None for each share's first day.
        refresh: Ask again, although it was done today, and pass over kept answers.
        replace: Also put ours in place of files that somebody else wrote.
    """

    symbols: tuple[str, ...]
    since: date | None = None
    refresh: bool = False
    replace: bool = False


@define
class Outcome:
    """What became of it. Counts are of requests, as in `DownloadReport`."""

    made: list[Made] = Factory(list)
    failures: dict[str, BacktestServerError] = Factory(dict)
    notices: list[str] = Factory(list)
    api_calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    bytes: int = 0
    cancelled: bool = False
    _counting: threading.Lock = Factory(threading.Lock)

    @property
    def never_reached_vendor(self) -> bool:
        """Whether the vendor could not be asked at all: a wrong key, or a vendor that cannot be reached."""
        return bool(self.failures) and all(error.unreachable for error in self.failures.values())

    def __call__(self, event: Event, /) -> None:
        """Add the counts of an event, and its message where it belongs into the report (an `EventListener`)."""
        with self._counting:
            for name in ("api_calls", "cache_hits", "retries", "bytes"):
                setattr(self, name, getattr(self, name) + getattr(event, name))
            if event.kind == "notice" and not event.transient and event.message not in self.notices:
                self.notices.append(event.message)


@frozen(kw_only=True)
class Planned:
    """What would be done for a symbol, as far as it can be known without asking.

    Attributes:
        tickers: Whose splits and dividends would be asked for; more may turn out to be the share's.
        done_today: Nothing would be asked for.
        factor, map: What stands there.
    """

    symbol: str
    tickers: tuple[str, ...]
    done_today: bool
    factor: Standing[Any]
    map: Standing[Any]


def plan_files(work: Work, asked: Asked) -> list[Planned]:
    """See what would be done. Sends nothing, needs no key."""
    return [_planned(work, asked, symbol) for symbol in asked.symbols]


def make_files(
    work: Work,
    asked: Asked,
    cancel: CancelToken,
    events: EventStream,
    done: Callable[[str], object] = lambda symbol: None,
) -> Outcome:
    """Make the files of each symbol, several at once.

    Args:
        done: Told of each symbol that is about to be made.

    Raises:
        ConfigurationError: The day to begin with is not over, or there is no way to ask.
        BacktestServerError: The provider cannot ask at all, say for want of a key.
    """
    last = work.last_settled()
    if asked.since is not None and asked.since > last:
        raise ConfigurationError(f"--since {asked.since} lies after {last}, the last session whose close is known")
    outcome = Outcome()

    events = events.heard_by(outcome).scoped(provider=work.provider)
    due = [symbol for symbol in asked.symbols if not _planned(work, asked, symbol).done_today]
    outcome.made += [_as_it_stands(symbol) for symbol in asked.symbols if symbol not in due]
    if not due:
        return outcome
    work.check()
    everybodys: list[BacktestServerError] = []

    def make(symbol: str) -> Made | BacktestServerError:
        if everybodys:
            return everybodys[0]
        done(symbol)
        try:
            with work.alone(symbol, events, cancel):
                return _make(work, service, symbol, asked.since)
        except BacktestServerError as error:
            if not (error.days or isinstance(error, _OF_ONE_SYMBOL)):
                everybodys.append(error)
            return error

    with work.opened(events, cancel, refresh=asked.refresh, replace=asked.replace) as service:
        for symbol, made in zip(due, first_alone(due, make), strict=True):
            if isinstance(made, Made):
                outcome.made.append(made)
                sentence = _sentence(made.files)
                events.emit(Event(kind="notice", phase=PHASE, symbol=symbol, message=sentence, transient=True))
            elif isinstance(made, Cancelled):
                outcome.cancelled = True
            else:
                outcome.failures[symbol] = made
    ignored = ignored_for(work.folder.path, [made.files for made in outcome.made])
    outcome.notices += [ignored] if ignored else []
    return outcome


def _make(work: Work, service: CorporateActions, symbol: str, since: date | None) -> Made:
    made = service.make(symbol, since)
    work.record(symbol, asked_from=made.first_day or work.today, since=since, made=made.first_day is not None)
    return made


def _sentence(files: CorporateFiles) -> str:
    return f"{files.symbol}: factor file {files.factor_file}, map file {files.map_file}"


def _planned(work: Work, asked: Asked, symbol: str) -> Planned:
    root = work.folder.path
    factor = place(work.folder, factor_file_path(root, symbol), read_factor_file)
    mapped = place(work.folder, map_file_path(root, symbol), read_map_file)
    check = work.folder.ledger.corporate_checks([symbol]).get(symbol)
    done = (
        check is not None
        and not asked.refresh
        and (check.provider, check.since, check.trouble, check.made) == (work.provider, asked.since, "", True)
        and work.same_day(check.checked_at)
        and factor.ours
        and mapped.ours
    )
    tickers = tuple(tickers_of(symbol, mapped.rows or ()))
    return Planned(symbol=symbol, tickers=tickers, done_today=done, factor=factor, map=mapped)


def _as_it_stands(symbol: str) -> Made:
    notice = f"{symbol} was asked about today already; --refresh asks again"
    return Made(files=CorporateFiles(symbol=symbol, factor_file="unchanged", map_file="unchanged", notices=(notice,)))
