"""A data folder with the objects that downloads and builds need, created from the settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import attrs
from attrs import evolve, frozen

from server.core.cancel import CancelToken
from server.core.events import Event, EventListener, EventStream
from server.core.secret import Secret
from server.corporate_actions.auto_refresh import DailyCheck
from server.corporate_actions.context import Work
from server.corporate_actions.model import CorporateActionSource
from server.corporate_actions.tickers import TickersOnDisk
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import DataProvider, ProviderContext
from server.data_download.steps import DownloadStep
from server.lean.series import NEW_YORK
from server.plugins.manager import Plugins
from server.settings import Settings
from server.settings.providers import SettingMissing
from server.trading_calendar import USEquityTradingCalendar


def utc_now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class Workspace:
    """A data folder with its settings, plugins, calendar and ledger.

    Attributes:
        clock: Returns the current instant in UTC.
    """

    settings: Settings
    plugins: Plugins
    calendar: USEquityTradingCalendar
    folder: DataFolder
    clock: Callable[[], datetime] = utc_now
    _made_state: bool = False
    _made_folder: bool = False

    @classmethod
    def open(cls, settings: Settings, plugins: Plugins, clock: Callable[[], datetime] = utc_now) -> Workspace:
        """Open the ledger and the calendar of a data folder.

        Raises:
            ConfigurationError: The settings name a provider that is not installed, or an unknown variable.
        """
        settings.check_environment(offered.spec.config_class for offered in plugins.providers.values())
        settings.check_providers(plugins.providers)
        for name in filter(None, (settings.chosen_provider[0], settings.chosen_fallback)):
            plugins.provider(name)
        state = settings.state_folder if settings.state_folder.is_dir() else None
        calendar = USEquityTradingCalendar.load(state, clock().astimezone(NEW_YORK).date())
        return cls(
            settings=settings,
            plugins=plugins,
            calendar=calendar,
            folder=DataFolder.open(settings.data_folder, calendar, settings.state_folder),
            clock=clock,
            made_state=state is None,
            made_folder=not settings.data_folder.is_dir(),
        )

    def close(self) -> None:
        """Close the ledger, and keep the calendar for the next run if this one left any state at all."""
        if self.settings.state_folder.is_dir():
            self.calendar.keep(self.settings.state_folder)
        self.folder.close()

    def events(self, *listeners: EventListener) -> EventStream:
        """Return a stream of events to these listeners and to the plugins."""
        return EventStream(self.clock, (*listeners, self.plugins.notify, self._after_download))

    def downloader(self, *, events: EventStream | None = None, provider: str | None = None) -> DataDownloader:
        """Create a downloader with the chosen provider and fallback.

        Args:
            events: A stream that `events` returned; by default one without further listeners.
            provider: A provider that replaces the chosen one.

        Raises:
            ConfigurationError: A setting of a provider is invalid.
        """
        provider = provider or self.settings.chosen_provider[0]
        fallback = self.settings.fallback_data_provider
        return DataDownloader(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            provider=self.hosted_provider(provider),
            fallback=self.hosted_provider(fallback) if fallback and fallback != provider else None,
            events=events or self.events(),
            tickers=TickersOnDisk(self.settings.data_folder),
            steps=self._steps(provider),
        )

    def remove_empty_state(self) -> None:
        """Remove the state folder, and the data folder, if this run created it; for a run that received no data."""
        if self._made_state:
            self.folder.locks.remove_empty_state(and_root=self._made_folder)

    def _after_download(self, event: Event, /) -> None:
        if event.report is not None and event.report.never_reached_vendor:
            self.remove_empty_state()

    def corporate_actions(self, provider: str | None = None) -> Work | None:
        """Return the context for building factor and map files; None if the provider has no corporate actions.

        Args:
            provider: A provider that replaces the chosen one.

        Raises:
            ConfigurationError: A setting of the provider is invalid.
        """
        name = provider or self.settings.chosen_provider[0]
        fallback = self.settings.chosen_fallback
        spec = self.plugins.provider(name).spec
        create = spec.corporate_actions
        if create is None:
            return None
        config = self.settings.provider_config(name, spec.config_class)

        def open_source(cancel: CancelToken, events: EventStream, refresh: bool) -> CorporateActionSource:
            return create(config, evolve(self._context(cancel), refresh=refresh), events)

        def downloader_of_bars(events: EventStream) -> DataDownloader:
            return DataDownloader(
                folder=self.folder,
                calendar=self.calendar,
                clock=self.clock,
                provider=self.hosted_provider(name),
                fallback=self.hosted_provider(fallback) if fallback and fallback != name else None,
                events=events,
            )

        return Work(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            provider=name,
            open_source=open_source,
            check=lambda: spec.check(config),
            daily=downloader_of_bars,
        )

    def _steps(self, provider: str) -> list[DownloadStep]:
        work = self.corporate_actions(provider) if self.settings.corporate_actions == "auto" else None
        return [DailyCheck(work=work)] if work else []

    def _context(self, cancel: CancelToken) -> ProviderContext:
        return ProviderContext(
            calendar=self.calendar,
            data_folder=self.settings.data_folder,
            state_folder=self.settings.state_folder,
            clock=self.clock,
            cancel=cancel,
        )

    def hosted_provider(self, name: str) -> HostedProvider:
        """Return the provider of this name with its settings, not yet opened."""
        spec = self.plugins.provider(name).spec
        config = self.settings.provider_config(name, spec.config_class)

        def open_provider(cancel: CancelToken) -> DataProvider:
            return spec.create(config, self._context(cancel))

        return HostedProvider(name, open_provider, lambda: spec.check(config), _secrets(config))

    def secrets(self) -> list[Secret]:
        """Return the secrets in the settings of all providers that lack no setting, so that texts can mask them."""
        found: list[Secret] = []
        for name, offered in self.plugins.providers.items():
            with suppress(SettingMissing):
                config = self.settings.provider_config(name, offered.spec.config_class)
                found += _secrets(config)
        return found


def _secrets(config: Any) -> list[Secret]:
    values = (getattr(config, field.name) for field in attrs.fields(type(config)))
    return [value for value in values if isinstance(value, Secret) and value]
