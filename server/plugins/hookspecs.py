"""The contract between the server and its plugins.

A plugin is a module (or object) with functions marked `hookimpl`, found through the entry-point group
``backtest_server``. Hooks return records; nothing is opened, read or started before the host calls
`ProviderSpec.create`. See docs/writing-a-provider.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import field, frozen

from server.core.events import Event, EventStream
from server.corporate_actions.model import CorporateActionSource
from server.data_download.provider import DataProvider, DataSink, ProviderContext

if TYPE_CHECKING:
    from server.data_download.report import DownloadReport

__all__ = [
    "PROJECT_NAME",
    "CorporateActionSource",
    "DataProvider",
    "DataSink",
    "ProviderContext",
    "ProviderSpec",
    "backtest_data_providers",
    "backtest_download_finished",
    "backtest_progress",
    "hookimpl",
    "hookspec",
    "setting",
]

PROJECT_NAME = "backtest_server"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


@frozen(kw_only=True)
class ProviderSpec:
    """One provider that a plugin offers.

    Attributes:
        name: What `data-provider` is set to; lower case with hyphens.
        summary: One line for the list of providers.
        config_class: A frozen attrs class; the host fills it from the settings (see `setting`).
        create: Creates the provider. It may import what it needs; discovery may not.
        corporate_actions: Creates a source of splits, dividends and renames, which emits its requests to the stream;
            None where the provider has none.
        check: Raises a `BacktestServerError` where the provider cannot fetch at all, for example without a key. Called
            once days are missing and before anything is written or started; must be quick and open nothing.
    """

    name: str
    summary: str
    config_class: type[Any]
    create: Callable[[Any, ProviderContext], DataProvider]
    check: Callable[[Any], object] = lambda config: None
    corporate_actions: Callable[[Any, ProviderContext, EventStream], CorporateActionSource] | None = None


def setting(*, env: Sequence[str] = (), lean: str | None = None, help: str = "", **kwargs: Any) -> Any:
    """Return an attrs field of a provider's config class, with the places of its value.

    The key in lean.json is ``backtest-server.providers.<provider name>.<field name with hyphens>``.

    Args:
        env: Environment variables, of which the first that is set is used; they take precedence over lean.json.
        lean: A key at the top of lean.json that LEAN itself uses for this value.
        help: One line for the user.
        kwargs: What `attrs.field` takes: default, validator, converter, repr.

    Returns:
        The field, for a class body.
    """
    return field(metadata={"env": tuple(env), "lean": lean, "help": help}, **kwargs)


@hookspec
def backtest_data_providers() -> Iterable[ProviderSpec]:
    """Return the providers that the plugin offers. Called once, when the plugins are loaded."""
    return ()


@hookspec
def backtest_progress(event: Event) -> None:
    """Receive an event of a download or backtest. Called from several threads; must be quick."""


@hookspec
def backtest_download_finished(report: DownloadReport) -> None:
    """Receive the report of a download. Called once at its end, also of one that failed."""
