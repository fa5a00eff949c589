"""Isolates the log's global state."""

from tests.support.log_records import own_logger

__all__ = ["own_logger"]
