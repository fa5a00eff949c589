"""What can go wrong while market data is fetched. The text of each error is one line for people."""

from __future__ import annotations

from server.core.errors import BacktestServerError


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
