"""Converts values of attrs classes to the types of JSON, and back.

The keys of an object are the fields of its class. A field's metadata, made by `json_options`, renames, omits or rounds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import attrs

from server.core.errors import BacktestServerError

_OPTIONS = "json"
_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class JsonField:
    """A field of a class as its JSON object has it.

    Attributes:
        name: The attribute, or the path to one of the field's value (``series.ticker``).
        key: The key of the JSON object.
        digits: Decimal places to which numbers of the field are rounded; None does not round.
    """

    name: str
    key: str
    digits: int | None = None


def json_options(
    *,
    key: str | None = None,
    omit: bool = False,
    digits: int | None = None,
    inline: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return metadata of an attrs field that says how it appears in JSON.

    Args:
        key: The key, where it differs from the field's name.
        omit: Whether the field is left out.
        digits: Decimal places to which numbers of the field are rounded.
        inline: Keys to have in place of the field's own, each with the attribute of the field's value.
    """
    return {_OPTIONS: {"key": key, "omit": omit, "digits": digits, "inline": inline}}


@cache
def json_fields(cls: type[object]) -> tuple[JsonField, ...]:
    """Return the fields of an attrs class that its JSON object has, in order."""
    found: list[JsonField] = []
    for field in attrs.fields(cls):  # type: ignore[arg-type]
        options = field.metadata.get(_OPTIONS, {})
        if options.get("inline"):
            found += [JsonField(name=f"{field.name}.{name}", key=key) for key, name in options["inline"].items()]
        elif not options.get("omit"):
            key, digits = options.get("key") or field.name, options.get("digits")
            found.append(JsonField(name=field.name, key=key, digits=digits))
    return tuple(found)


def to_json(value: Any, digits: int | None = None) -> Any:
    """Convert a value to the types of JSON: objects, lists, strings, numbers, booleans and None.

    Args:
        value: An instance of an attrs class or a named tuple, a mapping, a sequence, or a scalar: enumeration members
            become their value, days and instants their ISO text, paths their text, errors their code and message.
        digits: Decimal places to which numbers are rounded; None does not round.

    Raises:
        TypeError: The value has another type.
    """
    cls: type[object] = type(value)
    if attrs.has(cls):
        return {field.key: to_json(attrgetter(field.name)(value), field.digits) for field in json_fields(cls)}
    if isinstance(value, Mapping):
        return {to_json(key): to_json(item, digits) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return to_json(value._asdict(), digits)
    if isinstance(value, list | tuple):
        return [to_json(item, digits) for item in value]
    if isinstance(value, float) and digits is not None:
        return round(value, digits)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BacktestServerError):
        return {"code": value.code, "message": str(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def from_json(values: Mapping[str, Any], cls: type[_T]) -> _T:
    """Build an instance of an attrs class from what `to_json` returned for one. Unknown keys are ignored.

    Raises:
        ValueError: A value does not fit its field.
    """
    import msgspec

    return msgspec.convert(values, cls, dec_hook=lambda type_, value: type_(value))
