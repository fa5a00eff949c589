"""What can go wrong while market data is fetched. The text of each error is one line for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from server.core.errors import BacktestServerError
from server.core.text import count_text

if TYPE_CHECKING:
    from server.data_download.data_findings import DataFinding

_FILES_SHOWN = 3


class DownloadError(BacktestServerError):
    """Market data could not be fetched."""

    code = "data_download"


class AuthenticationError(DownloadError):
    """There is no API key, or the vendor does not accept it (401)."""

    unreachable = True
    code = "authentication"


class PlanLimitError(DownloadError):
    """The key's plan does not include these days or this kind of data (403)."""

    code = "plan_limit"


class NotPublishedError(DownloadError):
    """The vendor has no bars yet of a day that is not settled."""

    code = "not_published"


class SymbolNotFoundError(DownloadError):
    """The vendor does not know the symbol (404)."""

    concerns_one_symbol = True
    code = "symbol_not_found"


class RateLimitError(DownloadError):
    """The vendor still answers too many requests (429) after all retries."""

    allows_fallback = True
    code = "rate_limit"


class ProviderUnavailable(DownloadError):  # noqa: N818 - the name is part of the contract
    """The vendor cannot be reached or still answers with server errors after all retries."""

    allows_fallback = True
    unreachable = True
    code = "provider_unavailable"


class BadResponseError(DownloadError):
    """A response that arrived whole but cannot be used: not JSON, adjusted prices, bars out of range."""

    allows_fallback = True
    concerns_one_symbol = True
    code = "bad_response"


class ProviderError(DownloadError):
    """A provider raised an exception that is not one of these errors: a fault of the provider's own."""

    allows_fallback = True
    code = "provider_failed"


class DamagedDataError(DownloadError):
    """LEAN would misread files that could not be repaired.

    Attributes:
        findings: What is left.
        lines: One line for each file.
        advice: What to do.
    """

    code = "damaged_data"

    def __init__(self, findings: Sequence[DataFinding], reasons: Collection[str] = ()) -> None:
        self.findings = tuple(findings)
        self.lines = tuple({one.path: f"{one.symbol}: {one.sentence}" for one in reversed(findings)}.values())[::-1]
        first = findings[0]
        more = len(self.lines) - _FILES_SHOWN
        self.advice = "repair or replace these files, or run anyway with --allow-damaged"
        why = f"; they could not be fetched again ({'; '.join(reasons)})" if reasons else ""
        super().__init__(
            f"LEAN would misread {count_text(len(self.lines), 'file')}, so the backtest was not run: "
            f"{' | '.join(self.lines[:_FILES_SHOWN])}{f' | and {more:,} more' if more > 0 else ''}{why}; "
            f"{self.advice}",
            symbol=first.symbol,
            series=first.series,
            days=first.days,
        )
