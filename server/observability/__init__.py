"""The log (lines of text on stderr, JSON lines in the state folder, secrets masked) and the metrics."""

from server.observability.download_log import DownloadLog
from server.observability.log_setup import (
    add_secret,
    backtest_logger,
    configure_logging,
    log_listener,
    mask,
)

__all__ = ["DownloadLog", "add_secret", "backtest_logger", "configure_logging", "log_listener", "mask"]
