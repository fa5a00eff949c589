"""The log: short lines for people on stderr, JSON lines in the state folder, every known secret masked."""

from server.logs.download import DownloadLog
from server.logs.setup import add_secret, backtest_logger, configure_logging, log_listener, mask

__all__ = ["DownloadLog", "add_secret", "backtest_logger", "configure_logging", "log_listener", "mask"]
