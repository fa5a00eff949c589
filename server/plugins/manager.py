"""Finds, loads and calls the plugins; no other module uses pluggy's manager.

Built-in providers are found through the same entry points as third-party ones. A plugin that cannot be imported or
violates the contract is left out and reported; the others are not affected.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, cast

import pluggy
from attrs import field, frozen

from server.core.errors import ConfigurationError, describe_exception
from server.core.events import Event
from server.core.words import quoted_name
from server.plugins import hookspecs
from server.plugins.hookspecs import PROJECT_NAME, ProviderSpec
from server.settings.core import HOST_VARIABLES
from server.settings.reader import provider_fields
from server.settings.values import is_provider_name

BUILT_IN = {
    "lean_cli": "server.plugins.lean_cli_provider.plugin",
    "polygon": "server.plugins.polygon_provider.plugin",
}
"""The same as setup.cfg's entry points, for a checkout that runs without being installed."""


@frozen(kw_only=True)
class OfferedProvider:
    """A provider and the plugin it came from."""

    spec: ProviderSpec
    plugin: str
    distribution: str


@frozen(kw_only=True)
class PluginProblem:
    """A plugin that was left out, wholly or in part, and why.

    Attributes:
        plugin: The name of its entry point.
        reason: Why, in one line.
        provider: The provider that was left out; None where the plugin failed before it named its providers.
    """

    plugin: str
    reason: str
    provider: str | None = None

    def __str__(self) -> str:
        return f"the plugin {self.plugin} was left out: {self.reason}"


@frozen(kw_only=True, eq=False)
class Plugins:
    """The plugins that were found."""

    providers: Mapping[str, OfferedProvider]
    problems: tuple[PluginProblem, ...]
    _manager: pluggy.PluginManager = field(alias="manager", repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def provider(self, name: str) -> OfferedProvider:
        """The provider of this name.

        Raises:
            ConfigurationError: It is not installed; names those that are, and why its plugin was left out.
        """
        if name in self.providers:
            return self.providers[name]
        raise self.missing(name)

    def missing(self, name: str) -> ConfigurationError:
        """The error for a provider that is not installed."""
        known = ", ".join(sorted(self.providers)) or "none"
        broken = "".join(f"; {problem}" for problem in self.problems_of(name))
        return ConfigurationError(f"there is no data provider {quoted_name(name)}; installed are: {known}{broken}")

    def problems_of(self, provider: str) -> list[PluginProblem]:
        """Why a provider that is not installed may be missing.

        Returns:
            The problems of this provider or of a plugin of this name; else those of the plugins that failed before
            they named their providers, since it may be one of theirs.
        """
        own = [one for one in self.problems if provider in (one.provider, one.plugin.replace("_", "-"), one.plugin)]
        return own or [one for one in self.problems if one.provider is None]

    def notify(self, event: Event, /) -> None:
        """Call the hooks of an event (an `EventListener`). A plugin whose hook fails is not called again."""
        self._call("backtest_progress", event=event)
        if event.report is not None:
            self._call("backtest_download_finished", report=event.report)

    def _call(self, hook: str, **facts: Any) -> None:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*(facts[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
                from loguru import logger

                logger.bind(plugin=implementation.plugin_name).opt(exception=error).warning(
                    "the plugin {} fails in {} and is not called again: {}",
                    implementation.plugin_name,
                    hook,
                    describe_exception(error),
                )
                with self._lock:  # several threads may find the same one failing
                    if self._manager.is_registered(implementation.plugin):
                        self._manager.unregister(implementation.plugin)


def build_plugin_manager(disabled: Collection[str] = ()) -> Plugins:
    """Find and load the plugins of the entry-point group ``backtest_server``.

    Args:
        disabled: Entry points that are not loaded.

    Returns:
        The plugins, their providers, and the problems of those that were left out.
    """
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    problems: list[PluginProblem] = []
    distributions: dict[str, str] = {}
    for name, distribution, load in _entry_points():
        if name in disabled:
            continue
        if name in distributions:
            problems.append(
                PluginProblem(
                    plugin=name, reason=f"{distribution} and {distributions[name]} both bring a plugin of this name"
                )
            )
            continue
        distributions[name] = distribution
        reason = _register(manager, name, load)
        if reason:
            problems.append(PluginProblem(plugin=name, reason=reason))
    providers = _gather(manager, distributions, problems)
    return Plugins(providers=providers, problems=tuple(problems), manager=manager)


def _entry_points() -> Iterator[tuple[str, str, Any]]:
    """Name, distribution and loader of each plugin, built-ins first so that no other plugin takes their names."""
    found = sorted(metadata.entry_points(group=PROJECT_NAME), key=lambda point: point.value not in BUILT_IN.values())
    seen = set()
    for point in found:
        if point.value in seen:  # one distribution may be found twice on the path
            continue
        seen.add(point.value)
        yield point.name, point.dist.name if point.dist else "an unnamed distribution", point.load
    for name, module in BUILT_IN.items():
        if module not in seen:
            yield name, "backtest-server", lambda module=module: importlib.import_module(module)


def _register(manager: pluggy.PluginManager, name: str, load: Any) -> str | None:
    """Load and register a plugin.

    Returns:
        Why that failed; None if it succeeded.
    """
    try:
        plugin = load()
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        manager.unregister(name=name)
        return f"it does not keep the contract: {str(error).splitlines()[-1]}"
    except (Exception, SystemExit) as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        return f"it cannot be loaded: {describe_exception(error)}"
    return None


def _gather(
    manager: pluggy.PluginManager, distributions: Mapping[str, str], problems: list[PluginProblem]
) -> dict[str, OfferedProvider]:
    """The providers that the plugins offer, by name; problems are appended to ``problems``."""
    providers: dict[str, OfferedProvider] = {}
    for implementation in manager.hook.backtest_data_providers.get_hookimpls():
        name = implementation.plugin_name
        try:
            specs = list(cast("Iterable[object]", implementation.function() or ()))
        except (Exception, SystemExit) as error:
            reason = f"it fails to name its providers: {describe_exception(error)}"
            problems.append(PluginProblem(plugin=name, reason=reason))
            continue
        for spec in specs:
            rejection = _reject(spec, providers)
            if rejection:
                provider = str(spec.name) if isinstance(spec, ProviderSpec) else None
                problems.append(PluginProblem(plugin=name, reason=rejection, provider=provider))
            elif isinstance(spec, ProviderSpec):
                providers[spec.name] = OfferedProvider(spec=spec, plugin=name, distribution=distributions[name])
    return providers


def _reject(spec: object, providers: Mapping[str, OfferedProvider]) -> str | None:
    """Why an offered provider is left out; None if it is not."""
    if not isinstance(spec, ProviderSpec):
        return f"it offers a {type(spec).__name__}, which is no ProviderSpec"
    if not isinstance(spec.name, str) or not is_provider_name(spec.name):
        return f"its provider cannot be called {spec.name!r}; a name is in lower case with hyphens"
    if spec.name in providers:
        other = providers[spec.name].plugin
        return f"its provider {spec.name!r} has the name of one of the plugin {other}, which stays"
    try:
        provider_fields(spec.name, spec.config_class, HOST_VARIABLES)
    except ConfigurationError as error:
        return " ".join(str(error).split())
    return None
