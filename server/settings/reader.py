"""Reads settings from flags, the environment and lean.json, in this order, and fills config classes from them.

A config class is a frozen attrs class; the metadata of its fields names their sources (see `setting` in
server/plugins/hookspecs.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import evolve, field, frozen

from server.core.errors import ConfigurationError
from server.core.secret import Secret, mask_secrets
from server.core.words import did_you_mean, quoted_name
from server.lean.json_with_comments import JsonObject
from server.settings.values import RawValue, Source, convert, converter_for

SECTION = "backtest-server"
"""The key of the server's own object in lean.json."""

PROVIDERS = (SECTION, "providers")
"""The keys of the object with the settings of providers."""


class SettingMissing(ConfigurationError):  # noqa: N818 - a state of one provider, not a fault of the settings
    """A setting without a default is not set: this provider cannot be used, the others can."""


@frozen(kw_only=True)
class SettingField:
    """The declaration of a setting.

    Attributes:
        path: The keys of lean.json that lead to it; the last one is the setting's name.
        kind: The type of its value.
        env: Its environment variables; the first that is set wins.
        flag: Its flag without the dashes, if it has one.
        lean: LEAN's own key at the top of lean.json, if it has one; null and empty text there count as not set.
        argument: The keyword argument that takes the value.
        attribute: The attribute that holds it.
        required: Whether it has no default.
    """

    path: tuple[str, ...]
    kind: Any
    env: tuple[str, ...]
    flag: str | None = None
    lean: str | None = None
    argument: str
    attribute: str
    required: bool = False

    @property
    def name(self) -> str:
        """The setting's name."""
        return self.path[-1]


@frozen(kw_only=True)
class SettingsReader:
    """The sources of settings: flags by name without dashes, the environment, and a lean.json.

    Paths in flags and the environment are relative to `cwd`. None as a flag, and an empty variable, count as not set.
    The sources contain keys and are not part of the repr.
    """

    flags: Mapping[str, Any] = field(factory=dict, repr=False)
    environ: Mapping[str, str] = field(factory=dict, repr=False)
    cwd: Path = field(factory=Path)
    lean_config: Path | None = None
    lean: JsonObject = field(factory=JsonObject, repr=False)

    def read(self, fields: Iterable[SettingField], owner: str = "") -> tuple[dict[str, Any], dict[str, Source]]:
        """The values that are set, by argument, and the source of every setting, by name.

        Raises:
            SettingMissing: A setting without a default is not set.
            ConfigurationError: A value does not fit, or is set twice in lean.json.
        """
        values: dict[str, Any] = {}
        sources: dict[str, Source] = {}
        for item in fields:
            raw = self._find(item)
            sources[item.name] = raw.source if raw else Source("default")
            if raw is not None:
                values[item.argument] = convert(owner + item.name, raw, item.kind)
            elif item.required:
                ways = [*(f"set {variable}" for variable in item.env), f"write {'.'.join(item.path)} in lean.json"]
                raise SettingMissing(f"{owner}{item.name} is not set; {' or '.join(ways)}")
        return values, sources

    def provider_config(self, provider: str, config_class: type[Any]) -> tuple[Any, dict[str, Source]]:
        """Make the config of a provider. Returns it with the source of each setting, by name.

        Raises:
            SettingMissing: A setting without a default is not set.
            ConfigurationError: A setting is unknown, is set twice or does not fit.
        """
        fields = provider_fields(provider, config_class)
        self.reject_unknown((*PROVIDERS, provider), [item.name for item in fields])
        values, sources = self.read(fields, f"{provider}'s ")
        try:
            return config_class(**values), sources
        except (ValueError, TypeError) as error:
            problem, given = _cause(config_class, [item for item in fields if item.argument in values], values, error)
        where = "; ".join(f"{item.name} ({sources[item.name]})" for item in given) or "settings"
        # The arguments of attrs' own validators contain more than the sentence, and that may contain a secret.
        sentence = str(problem.args[0]) if problem.args else type(problem).__name__
        sentence = mask_secrets(sentence, [value for value in values.values() if isinstance(value, Secret)])
        raise ConfigurationError(f"{provider}'s {where} does not fit: {sentence}")

    def secrets(self, provider: str, config_class: type[Any]) -> list[Secret]:
        """The secrets that are set among a provider's settings, also where another setting is missing.

        Raises:
            ConfigurationError: A value does not fit, or is set twice in lean.json.
        """
        fields = (evolve(item, required=False) for item in provider_fields(provider, config_class))
        values, _ = self.read(fields, f"{provider}'s ")
        return [value for value in values.values() if isinstance(value, Secret) and value]

    def section(self, path: tuple[str, ...]) -> JsonObject:
        """The object of lean.json at these keys; an empty one if it is not set.

        Raises:
            ConfigurationError: It is not an object, or one of the keys occurs twice.
        """
        raw = self._value(path) if path else RawValue(self.lean, Source("default"), self.cwd)
        if raw is not None and not isinstance(raw.value, JsonObject):
            raise ConfigurationError(f"{_dotted(path)} does not fit ({raw.source}); it must be an object in braces")
        return raw.value if raw else JsonObject()

    def unknown(self, path: tuple[str, ...], known: Iterable[str]) -> dict[str, ConfigurationError]:
        """For each key of the object at this path that is not known, an error that names the nearest known one."""
        words = set(known)
        where = f"under {_dotted(path)} is not a setting (lean.json:{self.lean_config})"
        return {
            key: ConfigurationError(f"{quoted_name(key)} {where}; {did_you_mean(key, words)}")
            for key in self.section(path)
            if key not in words
        }

    def reject_unknown(self, path: tuple[str, ...], known: Iterable[str]) -> None:
        """Raise the first error of `unknown`, if there is one."""
        for error in self.unknown(path, known).values():
            raise error

    def _find(self, item: SettingField) -> RawValue | None:
        if item.flag is not None and self.flags.get(item.flag) is not None:
            return RawValue(str(self.flags[item.flag]), Source("flag", item.flag), self.cwd, self.environ)
        for variable in item.env:
            if self.environ.get(variable, "").strip():
                return RawValue(self.environ[variable], Source("environment", variable), self.cwd, self.environ)
        raw = self._value(item.path)
        if raw is None and item.lean is not None:
            raw = self._value((item.lean,))
            return None if raw is None or raw.value in (None, "") else raw
        return raw

    def _value(self, path: tuple[str, ...]) -> RawValue | None:
        within, key = self.section(path[:-1]), path[-1]
        if self.lean_config is None or key not in within:
            return None
        source = Source("lean.json", str(self.lean_config))
        if key in within.repeated:
            raise ConfigurationError(f"{_dotted((key,))} is set more than once ({source}); keep one")
        return RawValue(within[key], source, self.lean_config.parent, self.environ)


def provider_fields(
    provider: str, config_class: type[Any], reserved: frozenset[str] = frozenset()
) -> list[SettingField]:
    """The settings that a provider's config class declares; `reserved` are variables that it must not declare.

    Raises:
        ConfigurationError: It is not an attrs class, a field has a type that no setting can have, or a variable is
            reserved.
    """
    fields = []
    try:
        attrs.resolve_types(config_class)
        for one in attrs.fields(config_class):
            if not one.init:
                continue
            converter_for(one.type)
            item = SettingField(
                path=(*PROVIDERS, provider, one.name.strip("_").replace("_", "-")),
                kind=one.type,
                env=tuple(one.metadata.get("env", ())),
                lean=one.metadata.get("lean"),
                argument=one.alias or one.name,
                attribute=one.name,
                required=one.default is attrs.NOTHING,
            )
            for variable in reserved.intersection(item.env):
                raise TypeError(f"{variable} is a variable of the server and cannot set {item.name}")
            fields.append(item)
    except (AttributeError, NameError, SyntaxError, TypeError, attrs.exceptions.NotAnAttrsClassError) as error:
        raise ConfigurationError(f"the provider {provider} does not declare its settings well: {error}") from error
    return fields


def _cause(
    config_class: type[Any], given: list[SettingField], values: Mapping[str, Any], error: Exception
) -> tuple[Exception, list[SettingField]]:
    """The error of the first setting that is rejected without the others, and that setting; else the whole error."""
    required = [item for item in given if item.required]
    for group in (required, *([item] for item in given if not item.required)):
        try:
            config_class(**{item.argument: values[item.argument] for item in (*required, *group)})
        except (ValueError, TypeError) as problem:
            if group:
                return problem, group
    return error, given


def _dotted(path: tuple[str, ...]) -> str:
    """Keys of lean.json for a one-line message."""
    return ".".join(key if key.isprintable() and len(key) <= 48 else quoted_name(key) for key in path)
