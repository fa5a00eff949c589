"""One root for everything that can go wrong while data is prepared.

The text of an error says what happened and what to do next, in one line, without the API key. The facts are
attributes, so that a page or a log can show them apart. Whoever raises a foreign exception's translation uses
``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import ClassVar

from server.data_download.model import Resolution


class DataDownloadError(Exception):
    """Root of all errors of data preparation.

    Attributes:
        symbol: The symbol concerned, if one is.
        resolution: The resolution concerned, if one is.
        days: The trading days concerned, ascending.
        status: HTTP status of the answer that caused it, if any.
        request_id: The vendor's request id, to quote to its support.
        attempts: How often it was tried.
        survivable: Whether another provider could still deliver (an outage, a used-up budget, a missing
            tool), so that a configured fallback makes sense.
        code: A stable word for programs.
    """

    survivable: ClassVar[bool] = False
    code: ClassVar[str] = "data_download"

    def __init__(
        self,
        message: str,
        *,
        symbol: str | None = None,
        resolution: Resolution | None = None,
        days: Sequence[date] = (),
        status: int | None = None,
        request_id: str | None = None,
        attempts: int | None = None,
    ) -> None:
        super().__init__(message)
        self.symbol = symbol
        self.resolution = resolution
        self.days = tuple(days)
        self.status = status
        self.request_id = request_id
        self.attempts = attempts


class ConfigurationError(DataDownloadError):
    """A setting, argument or file of the user's does not fit; says which, where it stood, what would fit."""

    code = "configuration"


class AuthenticationError(DataDownloadError):
    """The vendor does not know the key (401), or there is none."""

    code = "authentication"


class PlanLimitError(DataDownloadError):
    """The key's plan does not include these days or this kind of data (403)."""

    code = "plan_limit"


class SymbolNotFoundError(DataDownloadError):
    """The vendor does not know the symbol (404)."""

    code = "symbol_not_found"


class RateLimitError(DataDownloadError):
    """Too many requests (429), still so after all retries."""

    survivable = True
    code = "rate_limit"


class ProviderUnavailable(DataDownloadError):  # noqa: N818 - the name is part of the contract
    """The vendor cannot be reached or answers with server errors, still so after all retries."""

    survivable = True
    code = "provider_unavailable"


class BadResponseError(DataDownloadError):
    """An answer that arrived whole but cannot be trusted: not JSON, adjusted prices, bars out of range."""

    survivable = True
    code = "bad_response"


class ToolMissingError(DataDownloadError):
    """A program that the provider or engine needs is not installed or not running."""

    survivable = True
    code = "tool_missing"


class ToolFailedError(DataDownloadError):
    """A program that the provider or engine runs failed, hung or was killed."""

    survivable = True
    code = "tool_failed"


class WriteFailedError(DataDownloadError):
    """A file could not be written; what stood there before still stands."""

    code = "write_failed"


class DownloadCancelled(DataDownloadError):  # noqa: N818 - not a fault
    """The run was cancelled; what was written stays."""

    code = "cancelled"
