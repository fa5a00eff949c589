"""A source that is asked ahead: what later symbols need is on its way while the first one is worked on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import Any

from server.corporate_actions.model import CorporateActionSource, Events, Listing, Renames

_AT_ONCE = 5


class AskedAhead:
    """A `CorporateActionSource` before another one; each question is put once."""

    def __init__(
        self, source: CorporateActionSource, *, renames: Sequence[str] = (), all_of: Sequence[str] = ()
    ) -> None:
        """Take what will be asked, in this order; nothing is asked before the first question.

        Whoever refuses the first ticker would refuse the others: they are asked about once it is answered.

        Args:
            renames: Tickers of which only the renames will be asked for.
            all_of: Tickers of which everything will be.
        """
        self._source = source
        self._order = {"renames": list(renames), "events": list(all_of)}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="corporate-actions")
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str, date | None], Future[Any]] = {}

    def events(self, ticker: str) -> Events:
        """See `CorporateActionSource`."""
        found: Events = self._ask("events", ticker).result()
        for following in self._following("events", ticker):
            self._ask("listing", following)
            self._ask("events", following)
        return found

    def renames(self, ticker: str) -> Renames:
        """See `CorporateActionSource`."""
        found: Renames = self._ask("renames", ticker).result()
        for following in self._following("renames", ticker):
            self._ask("renames", following)
        return found

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """See `CorporateActionSource`."""
        answer = self._ask("listing", ticker, on)
        if ticker in self._order["events"]:
            self._ask("events", ticker)
        found: Listing | None = answer.result()
        return found

    def close(self) -> None:
        """Ask nothing more; what is on its way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._source.close()

    def _following(self, what: str, ticker: str) -> Sequence[str]:
        order = self._order[what]
        at = order.index(ticker) + 1 if ticker in order else len(order)
        return order[at : at + _AT_ONCE]

    def _ask(self, what: str, ticker: str, on: date | None = None) -> Future[Any]:
        with self._lock:
            key = (what, ticker, on)
            if key not in self._answers:
                arguments = (ticker, on) if what == "listing" else (ticker,)
                self._answers[key] = self._pool.submit(getattr(self._source, what), *arguments)
            return self._answers[key]
