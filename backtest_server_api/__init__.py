"""What authors of plugins import: the contract of `backtest-server`, and nothing else of it.

See docs/writing-a-provider.md. The package `server` behind it may change at any time.
"""

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
)
from server.core.events import Event, EventStream
from server.core.json import to_json
from server.core.secret import Secret, mask_secrets
from server.corporate_actions.model import (
    CorporateActionSource,
    Dividend,
    Events,
    Listing,
    Renames,
    Split,
    TickerChange,
)
from server.data_download.availability import Gap
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    DownloadError,
    NotPublishedError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
    SymbolNotFoundError,
)
from server.data_download.provider import Capabilities, DataProvider, DataSink, ProviderContext
from server.lean.bars import Bars
from server.lean.series import DataType, Resolution, SecurityType, Series, parse_symbol
from server.plugins.hookspecs import ProviderSpec, hookimpl, setting

__all__ = [
    "AuthenticationError",
    "BacktestServerError",
    "BadResponseError",
    "Bars",
    "CancelToken",
    "Cancelled",
    "Capabilities",
    "ConfigurationError",
    "CorporateActionSource",
    "DataProvider",
    "DataSink",
    "DataType",
    "Dividend",
    "DownloadError",
    "Event",
    "EventStream",
    "Events",
    "Gap",
    "Listing",
    "NotPublishedError",
    "PlanLimitError",
    "ProviderContext",
    "ProviderSpec",
    "ProviderUnavailable",
    "RateLimitError",
    "Renames",
    "Resolution",
    "Secret",
    "SecurityType",
    "Series",
    "Split",
    "SymbolNotFoundError",
    "TickerChange",
    "ToolFailedError",
    "ToolMissingError",
    "hookimpl",
    "mask_secrets",
    "parse_symbol",
    "setting",
    "to_json",
]
