"""A provider as the host uses it: opened once, and isolated from the host's errors.

A third-party provider may raise any exception. One that is not a `BacktestServerError` becomes a `ProviderError` that
names the provider; the traceback goes to the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from attrs import field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, ConfigurationError, describe_exception
from server.core.secret import Secret, mask_error, mask_secrets
from server.data_download.availability import Gap
from server.data_download.errors import ProviderError
from server.data_download.provider import Capabilities, DataProvider
from server.lean.series import Series

_Result = TypeVar("_Result")


class Closeable(Protocol):
    """A provider, or its source of corporate actions."""

    def close(self) -> None:
        """Release connections and files."""


@frozen
class HostedProvider:
    """A provider under the name it was chosen by, not yet opened.

    Attributes:
        open_provider: Creates the provider.
        check_settings: Raises where its settings do not let it fetch at all; opens nothing.
        secrets: Values that must not appear in the text of its errors.
    """

    name: str
    open_provider: Callable[[CancelToken], DataProvider]
    check_settings: Callable[[], object] = lambda: None
    secrets: Sequence[Secret] = field(default=(), repr=False)

    def check(self) -> None:
        """Check that the provider can be used.

        Raises:
            BacktestServerError: Why it cannot.
        """
        with self.isolated("checking its settings"):
            self.check_settings()

    def open(self, cancel: CancelToken) -> DataProvider:
        """Create the provider.

        Raises:
            BacktestServerError: It cannot be created.
        """
        with self.isolated("being opened"):
            return self.open_provider(cancel)

    def capabilities(self, provider: DataProvider) -> Capabilities:
        """What the opened provider declares that it can deliver.

        Raises:
            ProviderError: It declares nothing, or something other than `Capabilities`.
        """
        with self.isolated("declaring its capabilities"):
            return expect_type(provider.capabilities, Capabilities)

    def plan(self, gaps: Sequence[Gap], cancel: CancelToken) -> list[str]:
        """The requests that fetching these gaps would send, a line for each. The provider is opened and closed.

        Raises:
            ConfigurationError: It cannot deliver a series.
            BacktestServerError: It cannot be opened or raised an exception.
        """
        provider = self.open(cancel)
        try:
            capabilities = self.capabilities(provider)
            for gap in gaps:
                if not capabilities.include(gap.series):
                    raise self.unable(capabilities, gap.series)
            with self.isolated("planning"):
                return [" ".join(str(line).split()) for line in provider.plan(gaps)]
        finally:
            self.close(provider)

    def unable(self, capabilities: Capabilities, series: Series) -> ConfigurationError:
        """The error for a series that the provider cannot deliver."""
        known = ", ".join(sorted(resolution.value for resolution in capabilities.resolutions))
        what = f"the provider {self.name} has no {series.resolution.value} bars, only {known}"
        return ConfigurationError(what, series=series)

    def close(self, opened: Closeable) -> BacktestServerError | None:
        """Close what was opened. What it fetched is on disk, so an error is returned and not raised."""
        try:
            with self.isolated("being closed"):
                opened.close()
        except BacktestServerError as error:
            return error
        return None

    @contextmanager
    def isolated(self, activity: str) -> Iterator[None]:
        """Turn an exception of the provider's own, ``SystemExit`` included, into a `ProviderError`.

        Args:
            activity: What the provider was doing: "fetching".

        Raises:
            BacktestServerError: One that the provider raised, or the `ProviderError`.
            KeyboardInterrupt: The user interrupted the process.
        """
        try:
            yield
        except BacktestServerError as error:
            mask_error(error, self.secrets)
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            from loguru import logger

            logger.bind(provider=self.name).opt(exception=error).error(
                "the provider {} raised {} while {}", self.name, type(error).__name__, activity
            )
            what = mask_secrets(describe_exception(error), self.secrets)
            raise ProviderError(
                f"the provider {self.name} failed while {activity} ({what}); "
                "the log has the traceback, report it to the provider's authors"
            ) from error


def expect_type(value: object, expected: type[_Result]) -> _Result:
    """Return a value that a provider returned, which must be of this type.

    Raises:
        TypeError: It is of another type.
    """
    if not isinstance(value, expected):
        raise TypeError(f"a {type(value).__name__} instead of {expected.__name__}")
    return value
