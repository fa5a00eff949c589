"""Reads settings from flags, the environment and lean.json, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.core.words import did_you_mean, quoted_name
from server.lean.json_with_comments import JsonObject
from server.settings.values import RawValue, Source, convert

SECTION = "backtest-server"
"""The key of the server's own object in lean.json."""


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
    """All sources of settings. They contain keys and are not part of the repr.

    Attributes:
        flags: By flag, without the dashes; None means not given.
        environ: The environment; empty variables count as not set.
        cwd: The folder that paths in flags and the environment are relative to.
        lean_config: The path of the lean.json that was read, if any.
        lean: Its content.
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

    def section(self, path: tuple[str, ...]) -> JsonObject:
        """The object of lean.json at these keys; an empty one where there is none.

        Raises:
            ConfigurationError: It is not an object, or one of the keys occurs twice.
        """
        raw = self._value(path) if path else RawValue(self.lean, Source("default"), self.cwd)
        if raw is not None and not isinstance(raw.value, JsonObject):
            raise ConfigurationError(f"{_dotted(path)} does not fit ({raw.source}); it must be an object in braces")
        return raw.value if raw else JsonObject()

    def unknown(self, path: tuple[str, ...], known: Iterable[str]) -> dict[str, ConfigurationError]:
        """For each key of the object at this path that is not known, an error that names the nearest known one."""
        words, where = (
            set(known),
            f"under {_dotted(path)} is not a setting (lean.json:{self.lean_config})",
        )
        return {
            key: ConfigurationError(f"{quoted_name(key)} {where}; {did_you_mean(key, words)}")
            for key in self.section(path)
            if key not in words
        }

    def _find(self, item: SettingField) -> RawValue | None:
        if item.flag is not None and self.flags.get(item.flag) is not None:
            return RawValue(str(self.flags[item.flag]), Source("flag", item.flag), self.cwd)
        for variable in item.env:
            if self.environ.get(variable, "").strip():
                return RawValue(self.environ[variable], Source("environment", variable), self.cwd)
        raw = self._value(item.path)
        if raw is None and item.lean is not None:
            raw = self._value((item.lean,))
            return None if raw is None or raw.value in (None, "") else raw
        return raw

    def _value(self, path: tuple[str, ...]) -> RawValue | None:
        *parents, key = path
        within = self.section(tuple(parents))
        if self.lean_config is None or key not in within:
            return None
        if key in within.repeated:
            raise ConfigurationError(
                f"{_dotted((key,))} is set more than once (lean.json:{self.lean_config}); keep one"
            )
        return RawValue(within[key], Source("lean.json", str(self.lean_config)), self.lean_config.parent)


def _dotted(path: tuple[str, ...]) -> str:
    """Keys of lean.json for a one-line message."""
    return ".".join(key if key.isprintable() and len(key) <= 48 else quoted_name(key) for key in path)
