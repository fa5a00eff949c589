"""Values of settings: their source, and their conversion to the setting's type.

Text from a flag or the environment is converted. A value from lean.json has a JSON type, which must be the right one.
"""

from __future__ import annotations

import json
import math
import os
import re
import types
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, NewType, Union, get_args, get_origin

from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.core.paths import InvalidPath, expand_path
from server.core.secret import Secret
from server.core.words import quoted_name
from server.lean.series import parse_symbol

ProviderName = NewType("ProviderName", str)
"""A data provider's name: lower case, digits and hyphens, and not the word for no provider."""

SymbolDays = NewType("SymbolDays", frozenset[tuple[str, date]])
"""Symbols, each with a day: a list of ``SYMBOL YYYY-MM-DD`` in lean.json, separated by commas elsewhere."""

ProgramPath = NewType("ProgramPath", Path)
"""The path of a program or its environment, whose last link is kept: a virtual environment's interpreter is a link."""

_PROVIDER_NAME = "(?!none$)[a-z0-9]+(-[a-z0-9]+)*"
_SOURCES = {
    "flag": "flag --",
    "environment": "environment variable ",
    "lean.json": "lean.json:",
    "default": "default, next to lean.json:",
}


@frozen
class Source:
    """The source of a value: a flag, an environment variable, the path of a lean.json, or the default.

    The name of a default is empty, or the path of the lean.json that it depends on.
    """

    kind: Literal["flag", "environment", "lean.json", "default"]
    name: str = ""

    def __str__(self) -> str:
        return _SOURCES[self.kind] + self.name if self.name else self.kind


@frozen
class RawValue:
    """A value before its conversion.

    Attributes:
        base: The folder that a relative path is relative to.
        environ: The environment, for variables in a path.
    """

    value: Any
    source: Source
    base: Path
    environ: Mapping[str, str] = field(factory=dict, repr=False)

    @property
    def is_text(self) -> bool:
        """Whether it is text to convert, rather than a JSON value."""
        return self.source.kind != "lean.json"


def convert(setting: str, raw: RawValue, kind: Any) -> Any:
    """Convert a value to the type of a setting.

    Raises:
        ConfigurationError: It does not fit. The text names the setting, the source and what fits, and shows the value
            unless that is a secret.
    """
    convert_one, fits, optional = converter_for(kind)
    if optional:
        if raw.value is None or (raw.is_text and raw.value.lower() == "none"):
            return None
        fits += ", or none" if raw.is_text else ", or null"
    try:
        return convert_one(raw)
    except InvalidPath as error:
        raise ConfigurationError(f"{setting} is {_shown(raw.value)} ({raw.source}); {error}") from None
    except (ValueError, OverflowError):  # whose text may quote a secret
        problem = "does not fit" if Secret in (kind, *get_args(kind)) else f"is {_shown(raw.value)}"
        raise ConfigurationError(f"{setting} {problem} ({raw.source}); it must be {fits}") from None


def converter_for(kind: Any) -> tuple[Callable[[RawValue], Any], str, bool]:
    """The conversion to a type, what fits it in words, and whether None fits as well.

    Raises:
        TypeError: No setting can have this type.
    """
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    plain = [part for part in parts if part is not types.NoneType]
    choices = get_args(plain[0]) if len(plain) == 1 and get_origin(plain[0]) is Literal else ()
    if choices and all(isinstance(choice, str) for choice in choices):
        pattern = "|".join(map(re.escape, choices))
        return lambda raw: _text(raw, pattern), f"one of {', '.join(choices)}", len(parts) > 1
    if len(plain) != 1 or plain[0] not in _CONVERTERS:
        name = kind.__name__ if isinstance(kind, type) else kind
        raise TypeError(f"no setting can have the type {name}; use bool, int, float, str, Path, Secret or Literal")
    return *_CONVERTERS[plain[0]], len(parts) > 1


def is_provider_name(name: str) -> bool:
    """Whether a provider can have this name."""
    return re.fullmatch(_PROVIDER_NAME, name) is not None


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return quoted_name(value) if isinstance(value, str) else json.dumps(value)[:48]


def _text(raw: RawValue, pattern: str = ".+") -> str:
    text = raw.value.strip() if isinstance(raw.value, str) else ""
    if not text.isprintable() or not re.fullmatch(pattern, text):
        raise ValueError
    return text


def _scalar(raw: RawValue, pattern: str, *json_types: type) -> Any:
    if raw.is_text:
        return _text(raw, pattern)
    if type(raw.value) not in json_types:
        raise ValueError
    return raw.value


def _boolean(raw: RawValue) -> bool:
    value = _scalar(raw, "(?i:true|yes|on|1|false|no|off|0)", bool)
    return str(value).lower() in ("true", "yes", "on", "1")


def _number(raw: RawValue) -> float:
    number = float(_scalar(raw, r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", int, float))
    if not math.isfinite(number):
        raise ValueError
    return number


def _path(raw: RawValue) -> Path:
    return Path(os.path.realpath(_unresolved(raw)))  # ".." after a link is the folder above the link's target


def _program_path(raw: RawValue) -> Path:
    path = _unresolved(raw)
    return Path(os.path.realpath(path)) if path.name in ("", "..") else Path(os.path.realpath(path.parent), path.name)


def _unresolved(raw: RawValue) -> Path:
    if not isinstance(raw.value, str) or not raw.value.strip():
        raise ValueError
    path = expand_path(raw.value.strip(), raw.environ)
    if "\0" in path:
        raise ValueError
    return raw.base / path


def _symbol_days(raw: RawValue) -> frozenset[tuple[str, date]]:
    entries = raw.value.split(",") if raw.is_text else raw.value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError
    found = set()
    for entry in entries:
        symbol, day = entry.split()
        found.add((parse_symbol(symbol), date.fromisoformat(day)))
    return frozenset(found)


_CONVERTERS: dict[Any, tuple[Callable[[RawValue], Any], str]] = {
    bool: (_boolean, "true or false"),
    int: (lambda raw: int(_scalar(raw, "[+-]?[0-9]{1,18}", int)), "a whole number"),
    float: (_number, "a number"),
    str: (_text, "text on one line"),
    Path: (_path, "the path of a file or folder"),
    ProgramPath: (_program_path, "the path of a file or folder"),
    Secret: (lambda raw: Secret(_text(raw)), "text on one line"),
    SymbolDays: (_symbol_days, "symbols with days, such as MO 2008-03-31, separated by commas or in a list"),
    ProviderName: (lambda raw: _text(raw, _PROVIDER_NAME), "a provider's name, for example polygon or lean-cli"),
}
