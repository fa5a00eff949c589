"""From what somebody wrote to a setting's value, or an error that says what would fit.

Text from a flag or the environment is converted; values from lean.json have JSON's types and must have the
right one. Every error names the setting, where it stood, and what would fit; the value of a `Secret` is in
none of them.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NewType, Union, get_args, get_origin

from attrs import frozen

from server.core.errors import ConfigurationError
from server.core.secret import Secret

SECTION = "backtest-server"
"""The key of our own object in lean.json."""

DEFAULT = "default"
"""Where a value came from that nobody gave."""

ProviderName = NewType("ProviderName", str)
"""A data provider's name: lower case, digits and hyphens."""

_PROVIDER_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


@frozen(kw_only=True)
class Given:
    """A value as somebody wrote it.

    Attributes:
        value: Text from a flag or the environment, or a JSON value.
        source: Where it stood, in words for people.
        folder: What a relative path is relative to.
        as_text: Whether it is text that has to be converted, rather than a JSON value with its own type.
    """

    value: Any
    source: str
    folder: Path
    as_text: bool


def convert(setting: str, given: Given, kind: Any) -> Any:
    """Turn what was written into a value of this type.

    Args:
        setting: The setting's name, for the error.
        given: What was written, and where.
        kind: bool, int, float, str, Path, Secret, ProviderName, a Literal of texts, or one of these or None.

    Raises:
        ConfigurationError: It does not fit, or the type is none of these.
    """
    plain, optional = _without_none(kind)
    if get_origin(plain) is Literal:
        convert_one: Callable[[Given], Any] = _choice(get_args(plain))
        fits = "one of " + ", ".join(map(str, get_args(plain)))
    elif plain in _KINDS:
        convert_one, fits = _KINDS[plain]
    else:
        raise ConfigurationError(f"{setting} is declared as {kind}, which no setting can be")
    if optional:
        if given.value is None or (given.as_text and str(given.value).lower() == "none"):
            return None
        fits += ", or none" if given.as_text else ", or null"
    try:
        return convert_one(given)
    except (ValueError, OverflowError):
        # The cause may quote the value, which may be a key.
        raise unfit(setting, given, fits, hidden=plain is Secret) from None


def unfit(setting: str, given: Given, fits: str, *, hidden: bool) -> ConfigurationError:
    """The error for a value that does not fit; `hidden` leaves the value itself out."""
    shown = "does not fit" if hidden else f"is {_shown(given.value)}"
    return ConfigurationError(f"{setting} {shown} ({given.source}); it must be {fits}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, or all there are."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(words)}" if words else "there are none"


def shown_name(name: str) -> str:
    """A name from a file or the environment for an error: quoted, and cut where it is long."""
    return repr(name) if len(name) <= 48 else repr(name[:45] + "...")


def is_provider_name(name: str) -> bool:
    """Whether a provider can be called so: lower case with hyphens, and not the word for no provider."""
    return _PROVIDER_NAME.fullmatch(name) is not None and name != "none"


def is_secret(kind: Any) -> bool:
    """Whether values of this type must not be shown."""
    return _without_none(kind)[0] is Secret


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) in (Union, types.UnionType):
        others = [part for part in get_args(kind) if part is not type(None)]
        if len(others) == 1:
            return others[0], True
    return kind, False


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number"
    return shown_name(value) if isinstance(value, str) else repr(value)


def _text(given: Given) -> str:
    text = given.value.strip() if isinstance(given.value, str) else ""
    if not text or not text.isprintable():
        raise ValueError
    return text


def _boolean(given: Given) -> bool:
    if isinstance(given.value, bool):
        return given.value
    word = _text(given).lower() if given.as_text else ""
    if word not in _TRUE + _FALSE:
        raise ValueError
    return word in _TRUE


def _whole(given: Given) -> int:
    if isinstance(given.value, int) and not isinstance(given.value, bool):
        return given.value
    if given.as_text and _WHOLE.fullmatch(_text(given)):
        return int(_text(given))
    raise ValueError


def _number(given: Given) -> float:
    if isinstance(given.value, int | float) and not isinstance(given.value, bool):
        number = float(given.value)
    elif given.as_text and _NUMBER.fullmatch(_text(given)):
        number = float(_text(given))
    else:
        raise ValueError
    if not math.isfinite(number):
        raise ValueError
    return number


def _path(given: Given) -> Path:
    text = os.fspath(given.value) if isinstance(given.value, Path) else given.value
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError
    # Links are followed, since ".." after one means the folder above its target.
    return Path(os.path.realpath(given.folder / text))


def _secret(given: Given) -> Secret:
    return Secret(_text(given))


def _provider(given: Given) -> str:
    name = _text(given)
    if not is_provider_name(name):
        raise ValueError
    return name


def _choice(choices: tuple[Any, ...]) -> Callable[[Given], Any]:
    def convert_one(given: Given) -> Any:
        text = _text(given)
        if text not in choices:
            raise ValueError
        return text

    return convert_one


_KINDS: dict[Any, tuple[Callable[[Given], Any], str]] = {
    bool: (_boolean, "true or false"),
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    str: (_text, "text on one line"),
    Path: (_path, "the path of a file or folder"),
    Secret: (_secret, "text on one line"),
    ProviderName: (_provider, "a provider's name, for example polygon or lean-cli"),
}
