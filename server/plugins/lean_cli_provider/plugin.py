"""Declares the provider `lean-cli`; imports nothing else until it is created."""

from __future__ import annotations

from collections.abc import Iterable

from server.plugins.hookspecs import DataProvider, ProviderContext, ProviderSpec, hookimpl
from server.plugins.lean_cli_provider.config import LeanCliConfig


def _create(config: LeanCliConfig, context: ProviderContext) -> DataProvider:
    import os

    from server.plugins.lean_cli_provider.provider import LeanCliProvider

    return LeanCliProvider(config, context, environment=os.environ)


@hookimpl
def backtest_data_providers() -> Iterable[ProviderSpec]:
    """The provider `lean-cli`."""
    return (
        ProviderSpec(
            name="lean-cli",
            summary="`lean data download` with Polygon: LEAN's own downloader, through its CLI and Docker",
            config_class=LeanCliConfig,
            create=_create,
            check=LeanCliConfig.require_key,
        ),
    )
