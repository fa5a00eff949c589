"""The root of all errors, and the errors that belong to no domain.

The text of an error is one line: what happened, and what to do next, without the API key. Facts are attributes, so that
a page or a log shows them separately; no code parses messages. Exceptions of libraries are translated with
``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from server.lean.series import Resolution, Series


class BacktestServerError(Exception):
    """Root of all errors.

    Attributes:
        code: A stable identifier for programs.
        allows_fallback: Whether another provider may still deliver (an outage, a used-up budget, a missing tool).
        unreachable: Whether the vendor was not reached or did not accept the key.
        concerns_one_symbol: Whether other symbols of the same run may succeed.
        series: The series concerned, if there is one.
        symbol: The symbol concerned, if there is one.
        days: The trading days concerned, ascending.
        status: The HTTP status of the response that caused it, if there is one.
        request_id: The vendor's request id, to quote to its support.
        attempts: How often the request was sent.
    """

    code: ClassVar[str] = "error"
    allows_fallback: ClassVar[bool] = False
    unreachable: ClassVar[bool] = False
    concerns_one_symbol: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        series: Series | None = None,
        symbol: str | None = None,
        days: Sequence[date] = (),
        status: int | None = None,
        request_id: str | None = None,
        attempts: int | None = None,
    ) -> None:
        super().__init__(message)
        self.series = series
        self.symbol = symbol or (series.ticker if series else None)
        self.days = tuple(days)
        self.status = status
        self.request_id = request_id
        self.attempts = attempts

    @property
    def resolution(self) -> Resolution | None:
        """The resolution of the series concerned, if there is one."""
        return self.series.resolution if self.series else None


class ConfigurationError(BacktestServerError):
    """A setting, argument or file of the user is invalid; the text names it, its source and the valid values."""

    code = "configuration"


class ClockError(BacktestServerError):
    """The system clock is wrong."""

    code = "clock"


class NotFoundError(BacktestServerError):
    """The requested object does not exist."""

    code = "not_found"


class Cancelled(BacktestServerError):  # noqa: N818 - not an error of the program
    """The run was cancelled; complete files are kept."""

    code = "cancelled"


class ToolMissingError(BacktestServerError):
    """A program that a provider or engine needs is not installed or not running."""

    allows_fallback = True
    code = "tool_missing"


class ToolFailedError(BacktestServerError):
    """A program that a provider or engine runs failed, hung or was killed."""

    allows_fallback = True
    code = "tool_failed"


class WriteFailedError(BacktestServerError):
    """A file could not be written; the previous file is unchanged."""

    code = "write_failed"


class DiskFullError(WriteFailedError):
    """The disk has no space left for a file; the text names its folder."""

    code = "disk_full"


class BusyError(BacktestServerError):
    """Another process has locked what is needed; the same may succeed later."""

    code = "busy"


def describe_exception(error: BaseException) -> str:
    """The type and text of any exception on one line; the text is left out where the exception cannot give it."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
