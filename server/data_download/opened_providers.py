"""The providers of one download: each is opened when it is first needed, once, and closed at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import define, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event, EventStream
from server.core.os_threads import load_numpy
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import Capabilities, DataProvider
from server.lean.series import Series


@frozen
class OpenedProvider:
    """A provider that was opened, and what it declares that it can deliver."""

    hosted: HostedProvider
    provider: DataProvider
    capabilities: Capabilities

    def check_delivers(self, series: Sequence[Series]) -> None:
        """Check that it can deliver at least one of these series; the others fail one by one.

        Raises:
            ConfigurationError: It can deliver none.
        """
        if series and not any(self.capabilities.include(one) for one in series):
            raise self.hosted.unable(self.capabilities, series[0])


@define
class OpenedProviders:
    """A context that closes what was opened in it.

    Attributes:
        events: Receives a notice for a provider that cannot be closed.
        loading_s: The seconds that opening took, with the modules that fetching needs.
    """

    cancel: CancelToken
    events: EventStream
    loading_s: float = 0.0
    _opened: dict[str, OpenedProvider | BacktestServerError] = field(factory=dict)

    def __enter__(self) -> OpenedProviders:
        return self

    def __exit__(self, *error: object) -> None:
        for opened in reversed(self._opened.values()):
            if isinstance(opened, OpenedProvider):
                self._close(opened.hosted, opened.provider)

    def get(self, hosted: HostedProvider) -> OpenedProvider:
        """The provider, checked and opened.

        Raises:
            BacktestServerError: It cannot be opened; the same error each time.
        """
        if hosted.name not in self._opened:
            began = time.perf_counter()
            load_numpy()  # here, where the time of loading is measured
            from server.data_download import sink  # noqa: F401

            self._opened[hosted.name] = self._open(hosted)
            self.loading_s += time.perf_counter() - began
        found = self._opened[hosted.name]
        if isinstance(found, BacktestServerError):
            raise found
        return found

    def _open(self, hosted: HostedProvider) -> OpenedProvider | BacktestServerError:
        try:
            hosted.check()
            provider = hosted.open(self.cancel)
        except BacktestServerError as error:
            return error
        try:
            return OpenedProvider(hosted, provider, hosted.capabilities(provider))
        except BacktestServerError as error:
            self._close(hosted, provider)
            return error

    def _close(self, hosted: HostedProvider, provider: DataProvider) -> None:
        error = hosted.close(provider)
        if error is not None:
            self.events.emit(Event(kind="notice", provider=hosted.name, message=str(error)))
