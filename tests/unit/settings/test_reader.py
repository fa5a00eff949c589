"""The settings of providers: config classes filled from the environment and lean.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs import frozen, validators

from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.plugins.hookspecs import setting
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.polygon_provider.config import PolygonConfig
from server.settings import CORE_SETTINGS, SettingMissing, Source
from server.settings.core import HOST_VARIABLES, RESERVED_VARIABLES
from server.settings.reader import provider_fields
from tests.support.settings import KEY, ExampleConfig, NeedyConfig, load


@frozen(kw_only=True)
class PairConfig:
    """Two settings that are validated together."""

    low: int = setting(default=0)
    high: int = setting(default=9)

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@frozen(kw_only=True)
class StrictConfig:
    """A required setting with a validator, and another setting."""

    level: int = setting(default=0)
    share: float = setting(validator=validators.le(1))


def config_class_of(kind: Any) -> type[Any]:
    """A config class with one setting of this type."""
    return frozen(type("Config", (), {"__annotations__": {"one": kind}, "one": setting(default=None)}))


class TestProviderConfig:
    def test_defaults(self, tmp_path: Path) -> None:
        """Without any setting the config has its own defaults."""
        assert load(tmp_path).provider_config("polygon", ExampleConfig) == ExampleConfig()

    def test_from_lean_json(self, tmp_path: Path) -> None:
        """LEAN's keys at the top and the provider's own object are both read; the provider's own object wins."""
        lean = {
            "polygon-api-key": KEY,
            "polygon-api-url": "https://top",
            "backtest-server": {
                "providers": {
                    "polygon": {
                        "api-url": "https://own",
                        "max-concurrent-requests": 2,
                        "requests-per-minute": 5,
                        "retry-seconds": 10,
                        "keep": False,
                        "folder": "cache",
                    }
                }
            },
        }
        assert load(tmp_path, lean).provider_config("polygon", ExampleConfig) == ExampleConfig(
            api_key=Secret(KEY),
            api_url="https://own",
            max_concurrent_requests=2,
            requests_per_minute=5,
            retry_seconds=10.0,
            keep=False,
            folder=tmp_path / "cache",
        )

    def test_from_the_environment(self, tmp_path: Path) -> None:
        """Variables override lean.json and are converted to the field's type."""
        environ = {
            "MASSIVE_API_KEY": f" {KEY}\n",
            "BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS": "3",
            "BACKTEST_SERVER_REQUESTS_PER_MINUTE": "none",
            "BACKTEST_SERVER_RETRY_SECONDS": "1.5e1",
            "EXAMPLE_KEEP": "no",
            "EXAMPLE_FOLDER": "cache",
        }
        lean = {"polygon-api-key": "x", "backtest-server": {"providers": {"polygon": {"requests-per-minute": 5}}}}
        assert load(tmp_path, lean, environ).provider_config("polygon", ExampleConfig) == ExampleConfig(
            api_key=Secret(KEY),
            max_concurrent_requests=3,
            requests_per_minute=None,
            retry_seconds=15.0,
            keep=False,
            folder=tmp_path / "cache",
        )

    def test_first_variable_wins(self, tmp_path: Path) -> None:
        """Of two variables of one setting the first that is set wins."""
        environ = {"POLYGON_API_KEY": "one", "MASSIVE_API_KEY": "two"}
        assert load(tmp_path, environ=environ).provider_config("polygon", ExampleConfig).api_key == Secret("one")

    def test_leans_empty_keys(self, tmp_path: Path) -> None:
        """LEAN writes its keys with empty texts; such a key counts as not set."""
        lean = {"polygon-api-key": "", "polygon-api-url": None}
        assert load(tmp_path, lean).provider_config("polygon", ExampleConfig) == ExampleConfig()

    @pytest.mark.parametrize(
        ("value", "fits"),
        [("9", "must be <= 5: 9"), ("many", "a whole number"), ("2.0", "a whole number"), ("1_0", "a whole number")],
    )
    def test_value_that_does_not_fit(self, tmp_path: Path, value: str, fits: str) -> None:
        """A wrong number is an error with the setting, the variable and what fits."""
        environ = {"BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS": value, "BACKTEST_SERVER_RETRY_SECONDS": "2"}
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, environ=environ).provider_config("polygon", ExampleConfig)
        message = str(caught.value)
        assert message.startswith("polygon's max-concurrent-requests ")
        assert "(environment variable BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS)" in message
        assert fits in message
        assert "RETRY_SECONDS" not in message

    @pytest.mark.parametrize("value", ["nan", "inf", "1e999", "", True, [1], 10**400])
    def test_not_a_number(self, tmp_path: Path, value: Any) -> None:
        """Only finite numbers are numbers."""
        lean = {"backtest-server": {"providers": {"polygon": {"retry-seconds": value}}}}
        with pytest.raises(ConfigurationError, match=r"retry-seconds .* must be a number"):
            load(tmp_path, lean).provider_config("polygon", ExampleConfig)

    def test_unknown_setting(self, tmp_path: Path) -> None:
        """An unknown key of a provider is an error with the nearest name."""
        lean = {"backtest-server": {"providers": {"polygon": {"api-keys": KEY}}}}
        with pytest.raises(
            ConfigurationError, match=r"'api-keys' under .*polygon is not a setting .*mean api-key"
        ) as caught:
            load(tmp_path, lean).provider_config("polygon", ExampleConfig)
        assert KEY not in str(caught.value)

    def test_required_setting(self, tmp_path: Path) -> None:
        """A setting without a default that is not set is an error that says how to set it."""
        with pytest.raises(SettingMissing) as caught:
            load(tmp_path).provider_config("needy", NeedyConfig)
        assert str(caught.value) == (
            "needy's account is not set; set EXAMPLE_ACCOUNT or "
            "write backtest-server.providers.needy.account in lean.json"
        )

    def test_validator_with_a_required_setting(self, tmp_path: Path) -> None:
        """The error names the one setting that a validator rejects."""
        lean = {"backtest-server": {"providers": {"needy": {"account": "me", "level": 0}}}}
        with pytest.raises(
            ConfigurationError, match=r"^needy's level \(lean.json:.*\) does not fit: .*must be >= 1: 0"
        ):
            load(tmp_path, lean).provider_config("needy", NeedyConfig)

    def test_sources(self, tmp_path: Path) -> None:
        """The config comes with the source of each setting."""
        lean = {"backtest-server": {"providers": {"polygon": {"keep": False}}}}
        _, sources = load(tmp_path, lean, {"MASSIVE_API_KEY": KEY}).reader.provider_config("polygon", ExampleConfig)
        assert sources == dict.fromkeys(
            ["api-url", "max-concurrent-requests", "requests-per-minute", "retry-seconds", "folder"], Source("default")
        ) | {
            "api-key": Source("environment", "MASSIVE_API_KEY"),
            "keep": Source("lean.json", str(tmp_path / "lean.json")),
        }

    def test_cross_field_validation(self, tmp_path: Path) -> None:
        """Where only several settings together are rejected, the error names all of them."""
        lean = {"backtest-server": {"providers": {"pair": {"low": 2, "high": 1}}}}
        with pytest.raises(
            ConfigurationError, match=r"^pair's low \(.*\); high \(.*\) does not fit: low is above high$"
        ):
            load(tmp_path, lean).provider_config("pair", PairConfig)

    def test_required_value_that_does_not_fit(self, tmp_path: Path) -> None:
        """Where the required setting is rejected, the error names it and not one that fits."""
        lean = {"backtest-server": {"providers": {"strict": {"share": 2.0, "level": 1}}}}
        with pytest.raises(ConfigurationError, match=r"^strict's share \(lean.json:[^;]*\) does not fit: .*<= 1"):
            load(tmp_path, lean).provider_config("strict", StrictConfig)


class TestDeclarations:
    @pytest.mark.parametrize("kind", [complex, list[int], int | str, Literal[1, 2], None, "NoSuchType", "str.nothing"])
    def test_type_that_no_setting_can_have(self, kind: Any) -> None:
        """A field whose type cannot be filled is the mistake of the provider's author."""
        config_class = config_class_of(kind)
        with pytest.raises(ConfigurationError, match="the provider acme does not declare its settings well: "):
            provider_fields("acme", config_class)

    @pytest.mark.parametrize(
        "kind", [bool, int, float, str, Path, Secret, Literal["a", "b"], Secret | None, "int | None"]
    )
    def test_type_that_a_setting_can_have(self, kind: Any) -> None:
        """All other types are accepted, also as text and with None."""
        config_class = config_class_of(kind)
        (field,) = provider_fields("acme", config_class)
        assert (field.name, field.path) == ("one", ("backtest-server", "providers", "acme", "one"))

    def test_class_that_is_not_an_attrs_class(self) -> None:
        """A config class must be an attrs class."""
        with pytest.raises(ConfigurationError, match="the provider odd does not declare its settings well"):
            provider_fields("odd", int)

    @pytest.mark.parametrize("variable", ["BACKTEST_SERVER_ENGINE", "BACKTEST_SERVER_TOKEN", "LEAN_DATA_FOLDER"])
    def test_variable_of_the_server(self, variable: str) -> None:
        """A provider cannot declare a variable of the server."""
        config_class = attrs.make_class("Config", {"mine": setting(default=1, env=(variable,), type=int)})
        with pytest.raises(ConfigurationError, match=f"{variable} is a variable of the server and cannot set mine"):
            provider_fields("acme", config_class, HOST_VARIABLES)
        assert provider_fields("acme", config_class)


class TestUnknownNames:
    def test_unknown_variable(self, tmp_path: Path) -> None:
        """A variable with the server's prefix that is not declared is reported with the nearest name."""
        settings = load(tmp_path, environ={"BACKTEST_SERVER_REQUEST_PER_MINUTE": "5"})
        (error,) = settings.unknown_variables([ExampleConfig]).values()
        assert str(error) == (
            "the environment variable 'BACKTEST_SERVER_REQUEST_PER_MINUTE' is not a setting; "
            "did you mean BACKTEST_SERVER_REQUESTS_PER_MINUTE?"
        )

    def test_known_variables(self, tmp_path: Path) -> None:
        """Variables of the server, of providers and of other programs are accepted, and so are empty ones."""
        names = ["BACKTEST_SERVER_ENGINE", "BACKTEST_SERVER_RETRY_SECONDS", "PATH", *RESERVED_VARIABLES]
        environ = dict.fromkeys(names, "auto") | {"BACKTEST_SERVER_WHATEVER": ""}
        assert load(tmp_path, environ=environ).unknown_variables([ExampleConfig]) == {}

    def test_unknown_provider(self, tmp_path: Path) -> None:
        """Settings of a provider that is not installed are reported with the nearest name."""
        settings = load(tmp_path, {"backtest-server": {"providers": {"polygn": {}, "lean-cli": {}}}})
        errors = settings.unknown_providers(["polygon", "lean-cli"])
        assert errors.keys() == {"polygn"}
        assert re.match(r"'polygn' under backtest-server\.providers .* mean polygon", str(errors["polygn"]))


def test_every_setting_is_documented() -> None:
    """docs/configuration.md names each setting and each variable, of the server and of its own providers."""
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
    names = (
        {one.name for one in CORE_SETTINGS}
        | {name for one in CORE_SETTINGS for name in one.env}
        | {*RESERVED_VARIABLES}
    )
    names |= {f"--{one.flag}" for one in CORE_SETTINGS if one.flag}
    for config in (PolygonConfig, LeanCliConfig):
        for one in attrs.fields(config):
            names |= {one.name.replace("_", "-"), *one.metadata["env"], *filter(None, [one.metadata["lean"]])}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_documented_example_loads(tmp_path: Path) -> None:
    """The lean.json in docs/configuration.md is one that loads."""
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
    settings = load(tmp_path, text.split("```json\n")[1].split("```")[0])
    assert settings.fallback_data_provider == "lean-cli"
    assert settings.provider_config("polygon", PolygonConfig) == PolygonConfig(
        requests_per_minute=5, retry_seconds=600.0
    )


@frozen(kw_only=True)
class TwoSecretsConfig:
    """Secrets, one of which is required, and another required setting."""

    token: Secret = setting(env=("EXAMPLE_TOKEN",))
    key: Secret | None = setting(default=None, env=("EXAMPLE_KEY",))
    account: str = setting(env=("EXAMPLE_ACCOUNT",))


def test_secrets_are_found_where_another_setting_is_missing(tmp_path: Path) -> None:
    """They are masked before the provider can be configured."""
    reader = load(tmp_path, environ={"EXAMPLE_KEY": KEY, "EXAMPLE_ACCOUNT": "me"}).reader

    with pytest.raises(SettingMissing):
        reader.provider_config("example", TwoSecretsConfig)
    assert reader.secrets("example", TwoSecretsConfig) == [Secret(KEY)]
    assert reader.secrets("example", NeedyConfig) == []
