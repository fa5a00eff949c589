"""Hook implementations of the built-in Polygon provider."""

from __future__ import annotations

from collections.abc import Iterable

from server.core.events import EventStream
from server.plugins.hookspecs import (
    CorporateActionSource,
    DataProvider,
    ProviderContext,
    ProviderSpec,
    hookimpl,
)
from server.plugins.polygon_provider.config import PolygonConfig


@hookimpl
def backtest_data_providers() -> Iterable[ProviderSpec]:
    """Register the provider `polygon`."""
    return [
        ProviderSpec(
            name="polygon",
            summary="Polygon's (Massive's) REST aggregates, fetched day-exactly with your own key",
            config_class=PolygonConfig,
            create=_create,
            corporate_actions=_corporate_actions,
            check=PolygonConfig.require_key,
        )
    ]


def _create(config: PolygonConfig, context: ProviderContext) -> DataProvider:
    from server.plugins.polygon_provider.provider import PolygonProvider

    return PolygonProvider(config, context)


def _corporate_actions(config: PolygonConfig, context: ProviderContext, events: EventStream) -> CorporateActionSource:
    from server.plugins.polygon_provider.reference import PolygonReference

    return PolygonReference(config, context, events)
