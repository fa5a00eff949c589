"""The settings of the server: flag over environment over lean.json over default.

They are read once, at the start, into frozen values. docs/configuration.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.core.words import did_you_mean, quoted_name
from server.lean.json_with_comments import JsonObject
from server.settings.lean_json import find_lean_json, read_lean_json
from server.settings.reader import PROVIDERS, SECTION, SettingField, SettingsReader
from server.settings.values import ProgramPath, ProviderName, Source, SymbolDays

EngineName = Literal["auto", "lean", "lean-native", "lean-docker", "lean-cli", "smoke"]
CorporateActionsMode = Literal["auto", "off"]
DailyBars = Literal["vendor", "regular-session"]
ObjectStore = Literal["auto", "run", "workspace"]

NATIVE_PROVIDER = "polygon"
LEGACY_PROVIDER = "lean-cli"
STATE_FOLDER = ".backtest-server"
ENVIRONMENT_PREFIX = "BACKTEST_SERVER_"
RESERVED_VARIABLES = ("BACKTEST_SERVER_TOKEN", "BACKTEST_SERVER_LOG_LEVEL")
"""Variables of the web server and the log, which are read where those are started."""

_DEFAULT = Source("default")


def _core(name: str, kind: Any, env: str, flag: str | None = None, *, top: bool = False) -> SettingField:
    path, attribute = (name,) if top else (SECTION, name), name.replace("-", "_")
    return SettingField(path=path, kind=kind, env=(env,), flag=flag, argument=attribute, attribute=attribute)


CORE_SETTINGS = (
    _core("data-folder", Path, "LEAN_DATA_FOLDER", "data-folder", top=True),
    _core("data-provider", ProviderName, "BACKTEST_SERVER_DATA_PROVIDER", "provider"),
    _core("fallback-data-provider", ProviderName | None, "BACKTEST_SERVER_FALLBACK_DATA_PROVIDER"),
    _core("use-polygon-native-downloader", bool, "USE_POLYGON_NATIVE_DOWNLOADER"),
    _core("engine", EngineName, "BACKTEST_SERVER_ENGINE", "engine"),
    _core("corporate-actions", CorporateActionsMode, "BACKTEST_SERVER_CORPORATE_ACTIONS"),
    _core("accepted-doubts", SymbolDays, "BACKTEST_SERVER_ACCEPTED_DOUBTS"),
    _core("daily-bars", DailyBars, "BACKTEST_SERVER_DAILY_BARS"),
    _core("lean-launcher", Path | None, "BACKTEST_SERVER_LEAN_LAUNCHER"),
    _core("lean-python", ProgramPath | None, "BACKTEST_SERVER_LEAN_PYTHON"),
    _core("lean-engine-image", str, "BACKTEST_SERVER_LEAN_ENGINE_IMAGE"),
    _core("lean-live-stream", bool | None, "BACKTEST_SERVER_LEAN_LIVE_STREAM"),
    _core("lean-object-store", ObjectStore, "BACKTEST_SERVER_LEAN_OBJECT_STORE"),
    _core("lean-reruns", int, "BACKTEST_SERVER_LEAN_RERUNS"),
)
HOST_VARIABLES = frozenset({*RESERVED_VARIABLES, *(name for setting in CORE_SETTINGS for name in setting.env)})
"""Environment variables that no provider may declare as its own."""


@frozen(kw_only=True)
class ProviderChoice:
    """The provider in effect.

    Attributes:
        name: Its name.
        source: The source of the setting that decided.
        rolled_back: Whether that is `use-polygon-native-downloader`, which replaces polygon by lean-cli.
    """

    name: str
    source: Source
    rolled_back: bool = False


@frozen(kw_only=True)
class Settings:
    """The settings of the server.

    Attributes:
        data_folder: LEAN's data folder, absolute; it need not exist yet.
        lean_config: The absolute path of the lean.json that was read, if any.
        data_provider: The configured provider; `chosen_provider` is the one in effect.
        fallback_data_provider: The provider for days that the first one cannot deliver now.
        use_polygon_native_downloader: False replaces ``polygon`` by ``lean-cli``.
        engine: The engine of backtests.
        corporate_actions: Whether downloads update LEAN's factor and map files.
        accepted_doubts: Symbol and day of doubts that raise nothing.
        daily_bars: Whether daily bars are the vendor's or aggregated from the minutes of the regular session.
        lean_launcher: The folder of QuantConnect.Lean.Launcher.dll; None searches for it.
        lean_python: The interpreter, or the environment, that Python algorithms run in; None is python3 of the PATH.
        lean_engine_image: The Docker image of LEAN.
        lean_live_stream: Whether progress comes from LEAN's ZeroMQ stream; None leaves it to the engine.
        lean_object_store: Which folder LEAN's object store is in.
        lean_reruns: How often LEAN is run again at most, after data that it requested was fetched.
        sources: The source of each setting, by its name in lean.json.
        reader: The sources of the settings of providers.
    """

    data_folder: Path
    lean_config: Path | None = None
    data_provider: str = NATIVE_PROVIDER
    fallback_data_provider: str | None = None
    use_polygon_native_downloader: bool = True
    engine: EngineName = "auto"
    corporate_actions: CorporateActionsMode = "auto"
    accepted_doubts: frozenset[tuple[str, date]] = frozenset()
    daily_bars: DailyBars = "vendor"
    lean_launcher: Path | None = None
    lean_python: Path | None = None
    lean_engine_image: str = "quantconnect/lean:latest"
    lean_live_stream: bool | None = None
    lean_object_store: ObjectStore = "auto"
    lean_reruns: int = 3
    sources: Mapping[str, Source] = field(factory=dict)
    reader: SettingsReader = field(factory=SettingsReader, repr=False, eq=False)

    @property
    def state_folder(self) -> Path:
        """The folder of the server's state for the data folder; it can be rebuilt."""
        return self.data_folder / STATE_FOLDER

    @property
    def chosen_provider(self) -> ProviderChoice:
        """The provider in effect. The rollback replaces polygon by lean-cli unless a flag names polygon."""
        source = self.sources.get("data-provider", _DEFAULT)
        if self.data_provider != NATIVE_PROVIDER or self.use_polygon_native_downloader or source.kind == "flag":
            return ProviderChoice(name=self.data_provider, source=source)
        rollback = self.sources.get("use-polygon-native-downloader", _DEFAULT)
        return ProviderChoice(name=LEGACY_PROVIDER, source=rollback, rolled_back=True)

    @property
    def chosen_fallback(self) -> str | None:
        """The fallback in effect: None where it is the chosen provider."""
        return None if self.fallback_data_provider == self.chosen_provider.name else self.fallback_data_provider

    def provider_config(self, name: str, config_class: type[Any]) -> Any:
        """Make the config of a provider from the environment and lean.json.

        Raises:
            SettingMissing: A setting without a default is not set.
            ConfigurationError: A setting is unknown, is set twice or does not fit.
        """
        return self.reader.provider_config(name, config_class)[0]

    def unknown_variables(self, config_classes: Iterable[type[Any]]) -> dict[str, ConfigurationError]:
        """An error for each ``BACKTEST_SERVER_`` variable that neither the server nor a config class declares."""
        fields = (one for config_class in config_classes for one in attrs.fields(config_class))
        known = HOST_VARIABLES.union(*(one.metadata.get("env", ()) for one in fields))
        ours = [name for name in known if name.startswith(ENVIRONMENT_PREFIX)]
        message = "the environment variable {} is not a setting; {}"
        return {
            name: ConfigurationError(message.format(quoted_name(name), did_you_mean(name, ours)))
            for name, value in sorted(self.reader.environ.items())
            if name.startswith(ENVIRONMENT_PREFIX) and value.strip() and name not in known
        }

    def unknown_providers(self, names: Iterable[str]) -> dict[str, ConfigurationError]:
        """An error for each provider that has settings in lean.json and is not among these names."""
        return self.reader.unknown(PROVIDERS, names)


def load_settings(
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    cwd: Path,
    lean_config: Path | None = None,
) -> Settings:
    """Read the settings.

    Args:
        flags: Values from the command line by flag (hyphens or underscores); None means not given.
        environ: The environment; empty variables count as not set.
        cwd: The working directory, from which lean.json is searched for upward.
        lean_config: The lean.json to read instead.

    Raises:
        ConfigurationError: A setting is unknown, is set twice or does not fit, or lean.json cannot be read.
    """
    cwd = cwd.absolute()
    path = find_lean_json(cwd) if lean_config is None else cwd / lean_config  # absolute
    lean = read_lean_json(path) if path else JsonObject()
    given = {flag.replace("_", "-"): value for flag, value in (flags or {}).items()}
    known = [setting.flag for setting in CORE_SETTINGS if setting.flag]
    for flag in given.keys() - {*known}:
        raise ConfigurationError(f"--{flag} is not a setting; {did_you_mean(flag, known)}")
    reader = SettingsReader(flags=given, environ=dict(environ), cwd=cwd, lean_config=path, lean=lean)
    reader.reject_unknown((SECTION,), ["providers", *(one.name for one in CORE_SETTINGS if one.path[0] == SECTION)])
    for name in reader.section(PROVIDERS):
        reader.section((*PROVIDERS, name))
    values, sources = reader.read(CORE_SETTINGS)
    if "data_folder" not in values:  # LEAN's default is `data` next to its lean.json
        values["data_folder"] = (path.parent if path else cwd) / "data"
        sources["data-folder"] = Source("default", str(path) if path else "")
    if values.get("lean_reruns", 0) < 0:
        raise ConfigurationError(
            f"lean-reruns is {values['lean_reruns']} ({sources['lean-reruns']}); it must be 0 or more"
        )
    return Settings(**values, lean_config=path, sources=sources, reader=reader)
