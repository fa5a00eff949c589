"""The settings: flags over environment over lean.json over defaults.

Everything is read once, at the edge, into frozen objects; nothing later looks at the environment. See
docs/configuration.md for what can be set where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.settings.lean_json import find_lean_json, read_lean_json
from server.settings.places import Places
from server.settings.providers import describe, fill
from server.settings.values import DEFAULT, SECTION, ProviderName, convert, did_you_mean, shown_name

Engine = Literal["auto", "lean", "smoke"]
CorporateActionsMode = Literal["auto", "off"]

NATIVE_PROVIDER = "polygon"
LEGACY_PROVIDER = "lean-cli"
STATE_FOLDER = ".backtest-server"
ENVIRONMENT_PREFIX = "BACKTEST_SERVER_"
RESERVED_VARIABLES = ("BACKTEST_SERVER_TOKEN", "BACKTEST_SERVER_LOG_LEVEL")
"""Variables of the web server and the log, which are read where those are started."""

_MISSING_FOLDER = "data"


@frozen(kw_only=True)
class CoreSetting:
    """One of the server's own settings, and where its value may come from.

    Attributes:
        name: Its key in lean.json.
        kind: The type of its value.
        env: Its environment variable.
        flag: Its flag, without the dashes, if it has one.
        lean: Whether it is a key of LEAN's at the top of lean.json, rather than one of ours.
    """

    name: str
    kind: Any
    env: str
    flag: str | None = None
    lean: bool = False


CORE_SETTINGS = (
    CoreSetting(name="data-folder", kind=Path, env="LEAN_DATA_FOLDER", flag="data-folder", lean=True),
    CoreSetting(name="data-provider", kind=ProviderName, env="BACKTEST_SERVER_DATA_PROVIDER", flag="provider"),
    CoreSetting(name="fallback-data-provider", kind=ProviderName | None, env="BACKTEST_SERVER_FALLBACK_DATA_PROVIDER"),
    CoreSetting(name="use-polygon-native-downloader", kind=bool, env="USE_POLYGON_NATIVE_DOWNLOADER"),
    CoreSetting(name="engine", kind=Engine, env="BACKTEST_SERVER_ENGINE", flag="engine"),
    CoreSetting(name="corporate-actions", kind=CorporateActionsMode, env="BACKTEST_SERVER_CORPORATE_ACTIONS"),
)


@frozen(kw_only=True)
class Settings:
    """What the server was told.

    Attributes:
        data_folder: LEAN's data folder, absolute; it need not exist yet.
        lean_config: The lean.json that was read, absolute, if any.
        data_provider: The provider asked for; see `chosen_provider` for the one in effect.
        fallback_data_provider: The provider for days that the first one cannot get now.
        use_polygon_native_downloader: False is the rollback: ``lean-cli`` stands in for ``polygon``.
        engine: What runs a backtest.
        corporate_actions: Whether downloads bring LEAN's factor and map files up to date.
        sources: For each setting's name (as in lean.json) where its value came from, in words for people.
    """

    data_folder: Path
    lean_config: Path | None = None
    data_provider: str = NATIVE_PROVIDER
    fallback_data_provider: str | None = None
    use_polygon_native_downloader: bool = True
    engine: Engine = "auto"
    corporate_actions: CorporateActionsMode = "auto"
    sources: Mapping[str, str] = field(factory=dict)
    _places: Places = field(factory=Places, repr=False, eq=False)

    @property
    def state_folder(self) -> Path:
        """Where this server keeps its state for the data folder; removing it loses nothing but time."""
        return self.data_folder / STATE_FOLDER

    @property
    def chosen_provider(self) -> tuple[str, str]:
        """The provider in effect and, in words for people, why it is that one.

        A provider named by a flag is taken as it is; otherwise the rollback turns polygon into lean-cli.
        """
        source = self.sources.get("data-provider", DEFAULT)
        if (
            self.data_provider == NATIVE_PROVIDER
            and not self.use_polygon_native_downloader
            and not source.startswith("flag ")
        ):
            rollback = self.sources.get("use-polygon-native-downloader", DEFAULT)
            why = f"{LEGACY_PROVIDER} stands in for {NATIVE_PROVIDER}"
            return LEGACY_PROVIDER, f"{why}: use-polygon-native-downloader is false ({rollback})"
        if source == DEFAULT:
            return self.data_provider, "it is the default"
        return self.data_provider, f"data-provider is {self.data_provider} ({source})"

    @property
    def chosen_fallback(self) -> str | None:
        """The fallback in effect: None where it would be the chosen provider again."""
        fallback = self.fallback_data_provider
        return None if fallback == self.chosen_provider[0] else fallback

    def provider_config(self, name: str, config_class: type[Any]) -> Any:
        """Fill a provider's config class from the environment and lean.json (see hookspecs' `setting`).

        Args:
            name: The provider's name.
            config_class: Its frozen attrs class.

        Raises:
            ConfigurationError: A setting is unknown, missing, set twice, or does not fit.
        """
        return fill(name, config_class, self._places)[0]

    def described(self, name: str, config_class: type[Any]) -> list[tuple[str, str, str]]:
        """Each setting of a provider, its value for people, and where that came from.

        Of a secret only whether it is set. Raises as `provider_config` does.
        """
        return describe(name, config_class, self._places)

    def check_environment(self, config_classes: Iterable[type[Any]]) -> None:
        """Refuse a ``BACKTEST_SERVER_`` variable that nobody knows.

        Args:
            config_classes: The config classes of the installed providers, which declare variables of theirs.

        Raises:
            ConfigurationError: There is one; names it and the nearest that exists.
        """
        known = {*RESERVED_VARIABLES, *(setting.env for setting in CORE_SETTINGS)}
        for config_class in config_classes:
            for attribute in attrs.fields(config_class):
                known.update(attribute.metadata.get("env", ()))
        for variable, value in sorted(self._places.environ.items()):
            if variable.startswith(ENVIRONMENT_PREFIX) and value.strip() and variable not in known:
                ours = [name for name in known if name.startswith(ENVIRONMENT_PREFIX)]
                raise ConfigurationError(
                    f"the environment variable {shown_name(variable)} is no setting; {did_you_mean(variable, ours)}"
                )

    def check_providers(self, names: Iterable[str]) -> None:
        """Refuse settings in lean.json for a provider that is not installed.

        Raises:
            ConfigurationError: There are some; names the provider and the nearest that is installed.
        """
        self._places.refuse_unknown((SECTION, "providers"), names)


def load_settings(
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    cwd: Path,
    lean_config: Path | None = None,
) -> Settings:
    """Read the settings.

    Args:
        flags: What the command line was given: ``provider``, ``data-folder``, ``engine`` (hyphens or
            underscores); None as a value means not given.
        environ: The environment; empty variables count as not set.
        cwd: The working directory, from which lean.json is looked for upward.
        lean_config: The lean.json to read instead.

    Raises:
        ConfigurationError: A setting does not exist, is set twice or does not fit, or lean.json cannot be read.
    """
    cwd = cwd.absolute()
    path = find_lean_json(cwd) if lean_config is None else cwd / lean_config
    lean = read_lean_json(path) if path else None
    places = Places(flags=_known_flags(flags or {}), environ=dict(environ), cwd=cwd, lean=lean)
    ours = [setting.name for setting in CORE_SETTINGS if not setting.lean]
    places.refuse_unknown((SECTION,), [*ours, "providers"])
    for name in places.section((SECTION, "providers")):
        places.section((SECTION, "providers", name))

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in CORE_SETTINGS:
        found = places.find(
            flag=setting.flag,
            env=(setting.env,),
            path=(setting.name,) if setting.lean else (SECTION, setting.name),
        )
        sources[setting.name] = found.source if found else DEFAULT
        if found is not None:
            values[setting.name.replace("-", "_")] = convert(setting.name, found, setting.kind)
    if "data_folder" not in values:
        # LEAN's own default is `data` beside its lean.json.
        values["data_folder"] = (lean.path.parent if lean else cwd) / _MISSING_FOLDER
        if lean:
            sources["data-folder"] = f"{DEFAULT}, beside {lean.source}"
    return Settings(**values, lean_config=lean.path if lean else None, sources=sources, places=places)


def _known_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    known = [setting.flag for setting in CORE_SETTINGS if setting.flag]
    hyphenated = {flag.replace("_", "-"): value for flag, value in flags.items()}
    for flag in hyphenated:
        if flag not in known:
            raise ConfigurationError(f"--{flag} sets nothing; {did_you_mean(flag, known)}")
    return hyphenated
