"""Settings of tests: config classes with each kind of setting, and loading from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen, validators

from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.plugins.hookspecs import setting
from server.settings import Settings, load_settings

KEY = "Zq8xJ4vKeyNobodyMaySee"

config_class = frozen(kw_only=True)


@config_class
class ExampleConfig:
    """A provider's settings of each kind."""

    api_key: Secret | None = setting(
        default=None, env=("POLYGON_API_KEY", "MASSIVE_API_KEY"), lean="polygon-api-key", repr=False
    )
    api_url: str = setting(default="https://api.polygon.io", env=("POLYGON_API_URL",), lean="polygon-api-url")
    max_concurrent_requests: int = setting(
        default=5,
        env=("BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS",),
        validator=[validators.ge(1), validators.le(5)],
    )
    requests_per_minute: int | None = setting(default=None, env=("BACKTEST_SERVER_REQUESTS_PER_MINUTE",))
    retry_seconds: float = setting(default=300.0, env=("BACKTEST_SERVER_RETRY_SECONDS",), validator=validators.ge(0))
    keep: bool = setting(default=True, env=("EXAMPLE_KEEP",))
    folder: Path | None = setting(default=None, env=("EXAMPLE_FOLDER",))


@config_class
class NeedyConfig:
    """A provider's settings, one of which must be given."""

    account: str = setting(env=("EXAMPLE_ACCOUNT",))
    level: int = setting(default=1, validator=validators.ge(1))


def write_lean(folder: Path, values: Any) -> Path:
    path = folder / "lean.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def load(folder: Path, lean: Any = None, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    if lean is not None:
        write_lean(folder, lean)
    return load_settings(flags=flags, environ=environ or {}, cwd=folder)


def refusal(folder: Path, lean: Any = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, lean, environ, **flags)
    return str(caught.value)


def outcome(environ: dict[str, str], lean_config: Path) -> str:
    """What is visible of the settings: the error, or the reprs."""
    try:
        settings = load_settings(environ=environ, cwd=lean_config.parent, lean_config=lean_config)
        return f"{settings!r} {settings.provider_config('polygon', ExampleConfig)!r}"
    except ConfigurationError as error:
        return str(error)
