"""Settings of the provider `lean-cli`."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen, validators

from server.core.secret import Secret
from server.data_download.errors import AuthenticationError
from server.plugins.hookspecs import setting

KEY_VARIABLES = ("POLYGON_API_KEY", "MASSIVE_API_KEY")
"""Environment variables that may hold the vendor's key; the CLI's environment does not contain them."""

TIME_LIMIT_VARIABLE = "BACKTEST_SERVER_LEAN_TIME_LIMIT"

DEFAULT_TIME_LIMIT = 3600.0
"""Seconds. A year of minute bars of ten symbols takes minutes; the first pull of the image takes longer."""


@frozen(kw_only=True)
class LeanCliConfig:
    """Settings for running the LEAN CLI, under ``backtest-server.providers.lean-cli`` in lean.json."""

    executable: str = setting(
        default="lean",
        env=("BACKTEST_SERVER_LEAN_EXECUTABLE",),
        validator=validators.min_len(1),
        help="The LEAN CLI: a name looked up on PATH, or a path",
    )
    time_limit: float = setting(
        default=DEFAULT_TIME_LIMIT,
        env=(TIME_LIMIT_VARIABLE,),
        validator=validators.gt(0),
        help="Seconds after which one run of the tool is stopped",
    )
    image: str | None = setting(
        default=None,
        env=("BACKTEST_SERVER_LEAN_IMAGE",),
        help="The Docker image with LEAN, if not the CLI's own",
    )
    api_key: Secret = setting(
        default=Secret(""),
        env=KEY_VARIABLES,
        lean="polygon-api-key",
        repr=False,
        help="The key for Polygon's (Massive's) API",
    )
    license_type: str = setting(
        default="Individual",
        lean="polygon-license-type",
        validator=validators.min_len(1),
        help="The kind of Polygon licence, Individual or Business",
    )
    lean_config: Path | None = setting(
        default=None,
        env=("BACKTEST_SERVER_LEAN_CONFIG",),
        help="The lean.json that names the QuantConnect organization; else the nearest above the data folder",
    )

    def require_key(self) -> None:
        """Check that a key is set.

        Raises:
            AuthenticationError: No key is set.
        """
        if not self.api_key:
            raise AuthenticationError(
                "there is no Polygon API key; set POLYGON_API_KEY, or polygon-api-key in lean.json"
            )
