"""A source of corporate actions as the host uses it: isolated from the host's errors, like a provider of bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TypeVar

from server.core.cancel import CancelToken
from server.core.events import Event, EventStream
from server.corporate_actions.model import CorporateActionSource, Events, Listing, Renames
from server.data_download.hosted_provider import HostedProvider, expect_type

_Result = TypeVar("_Result")


class HostedSource:
    """A `CorporateActionSource` whose foreign exceptions and wrong results become a `ProviderError`."""

    def __init__(
        self, hosted: HostedProvider, open_source: Callable[[], CorporateActionSource], events: EventStream
    ) -> None:
        """Open the source.

        Args:
            hosted: The provider that it belongs to.
            open_source: Creates the source.
            events: Receives a notice if closing it fails.

        Raises:
            BacktestServerError: It cannot be opened.
        """
        self._hosted = hosted
        self._events = events
        with hosted.isolated("opening its source of corporate actions"):
            self._source = open_source()

    def events(self, ticker: str) -> Events:
        """All splits and dividends of a ticker (see `CorporateActionSource`)."""
        return self._ask(lambda: expect_type(self._source.events(ticker), Events), f"reading the events of {ticker}")

    def renames(self, ticker: str) -> Renames:
        """The tickers of a security (see `CorporateActionSource`)."""
        return self._ask(lambda: expect_type(self._source.renames(ticker), Renames), f"reading renames of {ticker}")

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """Reference data of a ticker (see `CorporateActionSource`)."""

        def ask() -> Listing | None:
            found = self._source.listing(ticker, on)
            return None if found is None else expect_type(found, Listing)

        return self._ask(ask, f"reading the listing of {ticker}")

    def close(self) -> None:
        """Close the source; an error in it is only a notice."""
        error = self._hosted.close(self._source)
        if error is not None:
            self._events.emit(Event(kind="notice", message=str(error)))

    def _ask(self, question: Callable[[], _Result], activity: str) -> _Result:
        with self._hosted.isolated(activity):
            return question()


def open_hosted(
    hosted: HostedProvider,
    create: Callable[[CancelToken, EventStream, bool], CorporateActionSource],
) -> Callable[[CancelToken, EventStream, bool], CorporateActionSource]:
    """Return a function like ``create`` whose sources are isolated."""
    return lambda cancel, events, refresh: HostedSource(hosted, lambda: create(cancel, events, refresh), events)
