"""Which providers are installed, which one is chosen, and every setting in force."""

from __future__ import annotations

from typing import Any, get_args

from attrs import frozen

from server.core.secret import Secret
from server.plugins.manager import PluginProblem, Plugins
from server.settings import CORE_SETTINGS, ProviderChoice, SettingMissing, Settings, Source
from server.settings.core import LEGACY_PROVIDER, NATIVE_PROVIDER
from server.settings.reader import provider_fields


@frozen
class SettingValue:
    """A setting, its value as text (of a secret only whether it is set), and its source."""

    setting: str
    value: str
    source: Source


@frozen
class ProviderStatus:
    """An installed provider.

    Attributes:
        name: Its name.
        summary: One line about it.
        distribution: The package that it comes from.
        settings: Its settings; empty where one that it needs is not set.
        problem: Which setting that is, and how to set it; None where nothing is missing.
    """

    name: str
    summary: str
    distribution: str
    settings: tuple[SettingValue, ...]
    problem: str | None


@frozen(kw_only=True)
class ProviderOverview:
    """The installed providers and the settings in force.

    Attributes:
        choice: The provider in effect.
        unavailable: Why the plugin of that provider was left out; empty where the provider is installed.
        fallback: The fallback in effect.
        providers: The installed providers, by name.
        problems: The plugins that were left out.
        settings: The server's own settings.
    """

    choice: ProviderChoice
    unavailable: tuple[PluginProblem, ...]
    fallback: str | None
    providers: tuple[ProviderStatus, ...]
    problems: tuple[PluginProblem, ...]
    settings: tuple[SettingValue, ...]


def provider_overview(settings: Settings, plugins: Plugins) -> ProviderOverview:
    """Which providers are installed and configured.

    Raises:
        ConfigurationError: A setting of a provider is unknown, is set twice or does not fit.
    """
    choice, fallback = settings.chosen_provider, settings.chosen_fallback
    return ProviderOverview(
        choice=choice,
        unavailable=() if choice.name in plugins.providers else tuple(plugins.problems_of(choice.name)),
        fallback=fallback if fallback in plugins.providers else None,
        providers=tuple(_status(settings, plugins, name) for name in sorted(plugins.providers)),
        problems=plugins.problems,
        settings=tuple(
            SettingValue(
                one.name, _text(getattr(settings, one.attribute)), settings.sources.get(one.name, Source("default"))
            )
            for one in CORE_SETTINGS
        ),
    )


def reason_of_choice(overview: ProviderOverview) -> str:
    """Why the provider in effect was chosen, as part of a sentence; and why it is not available, if so."""
    choice = overview.choice
    if choice.rolled_back:
        reason = (
            f"{LEGACY_PROVIDER} replaces {NATIVE_PROVIDER}: use-polygon-native-downloader is false ({choice.source})"
        )
    elif choice.source.kind == "default":
        reason = "it is the default"
    else:
        reason = f"data-provider is {choice.name} ({choice.source})"
    return "; ".join([reason, *(f"it is not available: {problem}" for problem in overview.unavailable)])


def _status(settings: Settings, plugins: Plugins, name: str) -> ProviderStatus:
    offered = plugins.providers[name]
    values: tuple[SettingValue, ...] = ()
    problem = None
    try:
        config, sources = settings.reader.provider_config(name, offered.spec.config_class)
        values = tuple(
            SettingValue(one.name, _text(getattr(config, one.attribute), one.kind), sources[one.name])
            for one in provider_fields(name, offered.spec.config_class)
        )
    except SettingMissing as error:
        problem = str(error)
    return ProviderStatus(name, offered.spec.summary, offered.distribution, values, problem)


def _text(value: Any, kind: Any = None) -> str:
    if isinstance(value, Secret) or Secret in (kind, *get_args(kind)):
        return "set" if value else "not set"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
