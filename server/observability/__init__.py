"""The log: short lines for people on stderr, JSON lines in the state folder, every known secret masked."""

from server.observability.download_log import DownloadLog
from server.observability.log_setup import (
    add_secret,
    backtest_logger,
    configure_logging,
    log_listener,
    mask,
)

__all__ = ["DownloadLog", "add_secret", "backtest_logger", "configure_logging", "log_listener", "mask"]
