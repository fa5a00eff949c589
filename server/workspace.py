"""A data folder with the objects that downloads and builds need, created from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NoReturn

import attrs
from attrs import evolve, frozen

from server.core.cancel import CancelToken
from server.core.events import Event, EventListener, EventStream
from server.core.secret import Secret
from server.core.words import quoted_name
from server.corporate_actions.auto_refresh import AutoRefresh
from server.corporate_actions.context import CorporateActionsContext
from server.corporate_actions.hosted_source import open_hosted
from server.corporate_actions.model import CorporateActionSource
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.findings import Findings
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import DataProvider, ProviderContext
from server.data_download.steps import DownloadStep
from server.data_download.tickers import TickersOnDisk
from server.lean.series import NEW_YORK
from server.plugins.manager import Plugins
from server.settings import SettingMissing, Settings
from server.trading_calendar import USEquityTradingCalendar

CLOSES_FOLDER = "closes"
"""In the state folder: the daily bars for factor and map files, where those of the data folder are of another kind."""


def utc_now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class Workspace:
    """A data folder with its settings, plugins, calendar and ledger.

    Attributes:
        closes: Where the vendor's daily bars are that factor and map files need: the data folder, or a folder of their
            own where its daily bars are of the regular session.
        clock: Returns the current instant in UTC.
    """

    settings: Settings
    plugins: Plugins
    calendar: USEquityTradingCalendar
    folder: DataFolder
    closes: DataFolder
    clock: Callable[[], datetime] = utc_now
    _made_state: bool = False
    _made_folder: bool = False

    @classmethod
    def open(
        cls,
        settings: Settings,
        plugins: Plugins,
        clock: Callable[[], datetime] = utc_now,
        *,
        read_only: bool = False,
    ) -> Workspace:
        """Open the ledger and the calendar of a data folder.

        Args:
            settings: They name the data folder.
            plugins: The installed providers and listeners.
            clock: Returns the current instant in UTC.
            read_only: Do not create a state folder.

        Raises:
            ConfigurationError: The settings name a provider that is not installed, or an unknown variable, and no
                plugin that failed to load explains it.
        """
        _reject_unknown(settings, plugins)
        calendar = USEquityTradingCalendar.load(clock().astimezone(NEW_YORK).date())
        folder = DataFolder.open(settings.data_folder, calendar, settings.state_folder, read_only=read_only)
        closes = folder
        if settings.daily_bars == "regular-session":
            path = settings.state_folder / CLOSES_FOLDER
            closes = DataFolder.open(path, calendar, path, read_only=read_only)
        return cls(
            settings=settings,
            plugins=plugins,
            calendar=calendar,
            folder=folder,
            closes=closes,
            clock=clock,
            made_state=not settings.state_folder.is_dir(),
            made_folder=not settings.data_folder.is_dir(),
        )

    def close(self) -> None:
        """Close the ledgers."""
        self.folder.close()
        self.closes.close()

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
        provider = provider or self.settings.chosen_provider.name
        return DataDownloader(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            provider=self.hosted_provider(provider),
            fallback=self._fallback(provider),
            events=events or self.events(),
            tickers=TickersOnDisk(self.settings.data_folder),
            steps=self._steps(provider),
            notify_kinds=True,
        )

    def remove_empty_state(self) -> None:
        """Remove the state folder, and the data folder, if this run created it; for a run that received no data."""
        if self._made_state:
            self.folder.locks.remove_empty_state(and_root=self._made_folder)

    def _after_download(self, event: Event, /) -> None:
        if event.report is not None and event.report.never_reached_vendor:
            self.remove_empty_state()

    def corporate_actions(self, provider: str | None = None) -> CorporateActionsContext | None:
        """Return the context of building factor and map files; None if the provider has no corporate actions.

        Args:
            provider: A provider that replaces the chosen one.

        Raises:
            ConfigurationError: A setting of the provider is invalid.
        """
        name = provider or self.settings.chosen_provider.name
        spec = self.plugins.provider(name).spec
        create = spec.corporate_actions
        if create is None:
            return None
        config = self.settings.provider_config(name, spec.config_class)
        hosted = self.hosted_provider(name)

        def open_source(cancel: CancelToken, events: EventStream, refresh: bool) -> CorporateActionSource:
            return create(config, evolve(self._context(cancel), refresh=refresh), events)

        def open_downloader(events: EventStream) -> DataDownloader:
            return DataDownloader(
                folder=self.closes,
                calendar=self.calendar,
                clock=self.clock,
                provider=self._vendor(name),
                fallback=self._fallback(name, self._vendor),
                events=events,
            )

        return CorporateActionsContext(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            provider=name,
            open_source=open_hosted(hosted, open_source),
            check=hosted.check,
            open_downloader=open_downloader,
            accepted=self.settings.accepted_doubts,
        )

    def findings(self, symbols: Sequence[str], first: date, last: date) -> Findings:
        """Return what is known about symbols on the days of a range besides their bars; sends nothing."""
        from server.corporate_actions.findings import read_findings

        accepted = self.settings.accepted_doubts
        return read_findings(
            self.folder, symbols, self.calendar, first=first, last=last, accepted=accepted, closes=self.closes
        )

    def _steps(self, provider: str) -> list[DownloadStep]:
        wanted = self.settings.corporate_actions == "auto" and self._installed(provider)
        context = self.corporate_actions(provider) if wanted else None
        return [AutoRefresh(context=context)] if context else []

    def _fallback(self, provider: str, hosted: Callable[[str], HostedProvider] | None = None) -> HostedProvider | None:
        """The configured fallback; None where it is this provider."""
        name = self._installed(self.settings.fallback_data_provider)
        return (hosted or self.hosted_provider)(name) if name and name != provider else None

    def _installed(self, provider: str | None) -> str | None:
        """The provider; None where its plugin failed to load."""
        return provider if provider in self.plugins.providers else None

    def _context(self, cancel: CancelToken) -> ProviderContext:
        return ProviderContext(
            calendar=self.calendar,
            data_folder=self.settings.data_folder,
            state_folder=self.settings.state_folder,
            clock=self.clock,
            cancel=cancel,
        )

    def hosted_provider(self, name: str) -> HostedProvider:
        """Return the provider of this name with its settings, not yet opened.

        It delivers hour bars, and daily bars of the regular session if these are chosen, that are derived from its
        minutes. Where its plugin failed to load, opening it raises a `ConfigurationError` with the reason, so that
        commands without a download work.
        """
        vendor = self._vendor(name)

        def open_provider(cancel: CancelToken) -> DataProvider:
            from server.data_download.derived_bars import DerivedBars

            regular = self.settings.daily_bars == "regular-session"
            provider = vendor.open_provider(cancel)
            return DerivedBars(provider, self.folder, self.calendar, self.clock, regular_session=regular)

        return evolve(vendor, open_provider=open_provider)

    def _vendor(self, name: str) -> HostedProvider:
        """The provider of this name with the bars that it has of itself."""
        if name not in self.plugins.providers and self.plugins.problems_of(name):

            def unavailable(*_: object) -> NoReturn:
                raise self.plugins.missing(name)

            return HostedProvider(name, unavailable, unavailable)
        spec = self.plugins.provider(name).spec
        config = self.settings.provider_config(name, spec.config_class)

        def open_provider(cancel: CancelToken) -> DataProvider:
            return spec.create(config, self._context(cancel))

        return HostedProvider(name, open_provider, lambda: spec.check(config), _secrets(config))

    def warnings(self) -> list[str]:
        """Return warnings about plugins that were left out and settings that have no effect."""
        providers = self.plugins.providers
        unknown = self.settings.unknown_providers(providers)
        choice, fallback = self.settings.chosen_provider.name, self.settings.chosen_fallback
        return [
            *map(str, self.plugins.problems),
            *(f"the settings of {quoted_name(name)} have no effect: it is not installed" for name in unknown),
            *(
                f"the environment variable {quoted_name(name)} has no effect: no installed provider declares it"
                for name in self.settings.unknown_variables(_config_classes(self.plugins))
            ),
            *(
                f"the {role} {quoted_name(name)} is not available"
                for role, name in (("data provider", choice), ("fallback", fallback))
                if name and not self._installed(name)
            ),
        ]

    def secrets(self) -> list[Secret]:
        """Return the secrets in the settings of all providers, so that texts can mask them.

        Raises:
            ConfigurationError: A setting is unknown, is set twice or does not fit.
        """
        found: list[Secret] = []
        for name, offered in self.plugins.providers.items():
            config_class = offered.spec.config_class
            try:
                found += _secrets(self.settings.provider_config(name, config_class))
            except SettingMissing:
                found += self.settings.reader.secrets(name, config_class)
        return found


def _config_classes(plugins: Plugins) -> list[type[Any]]:
    return [offered.spec.config_class for offered in plugins.providers.values()]


def _reject_unknown(settings: Settings, plugins: Plugins) -> None:
    """Raise for a variable or provider that is unknown, unless a plugin that failed to load may explain it."""
    for error in [] if plugins.problems else settings.unknown_variables(_config_classes(plugins)).values():
        raise error
    for name, error in settings.unknown_providers(plugins.providers).items():
        if not plugins.problems_of(name):
            raise error
    for name in filter(None, (settings.chosen_provider.name, settings.chosen_fallback)):
        if not plugins.problems_of(name):
            plugins.provider(name)


def _secrets(config: Any) -> list[Secret]:
    values = (getattr(config, field.name) for field in attrs.fields(type(config)))
    return [value for value in values if isinstance(value, Secret) and value]
