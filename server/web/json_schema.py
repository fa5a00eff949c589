"""OpenAPI schemas of the values that `server.core.json.to_json` converts, derived from their classes."""

from __future__ import annotations

import inspect
import types
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import attrs
from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from server.core.errors import BacktestServerError
from server.core.json import json_fields

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
IsoDay = Annotated[str, Field(json_schema_extra={"format": "date"})]


class ErrorInfo(TypedDict):
    """An error: a stable code, and a message for people."""

    code: str
    message: str


class JsonOf:
    """Annotates a dictionary from `to_json`, so that OpenAPI has the schema of the class that it was made from."""

    def __init__(self, cls: type[attrs.AttrsInstance], *, stored: bool = False, omitted: tuple[str, ...] = ()) -> None:
        """Annotate with a class.

        Args:
            cls: An attrs class.
            stored: Whether keys may be absent, in the object and in those below it: an earlier version may have stored
                it, or the work may not have got that far.
            omitted: Fields that `to_json` omits and that the dictionary has nevertheless.
        """
        self._schema = _object(cls, stored, omitted)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Give pydantic the schema of the class instead of that of a dictionary."""
        return handler.generate_schema(self._schema)


@cache
def _object(cls: type[object], stored: bool, omitted: tuple[str, ...] = ()) -> Any:
    """The typed dictionary of an attrs class or a named tuple."""
    if attrs.has(cls):
        types = {field.key: _type_at(cls, field.name) for field in json_fields(cls)}
        types |= {name: _type_at(cls, name) for name in omitted}
    else:
        types = get_type_hints(cls)
    fields = {key: _json_type(type_, stored) for key, type_ in types.items()}
    found = TypedDict(cls.__name__, {key: NotRequired[type_] if stored else type_ for key, type_ in fields.items()})  # type: ignore[misc]
    found.__doc__ = (cls.__doc__ or "").partition("\n\n")[0]
    return found


def _type_at(cls: Any, path: str) -> Any:
    """The type of an attribute, or of one of its value."""
    for name in path.split("."):
        cls = _hint(cls, name)
    return cls


def _hint(cls: type[object], name: str) -> Any:
    """The type of one attribute; those of others may be names that exist for type checkers only."""
    for base in cls.__mro__:
        if name in (annotations := inspect.get_annotations(base)):
            one = type(cls.__name__, (), {"__annotations__": {name: annotations[name]}, "__module__": base.__module__})
            return get_type_hints(one)[name]
    raise AttributeError(f"{cls.__name__} has no annotation of {name}")


def _json_type(type_: Any, stored: bool) -> Any:
    """The type that `to_json` makes of a type."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin in (Union, types.UnionType):
        return Union[tuple(_json_type(one, stored) for one in arguments)]  # noqa: UP007 - the members are computed
    if origin is tuple:
        return list[_json_type(arguments[0], stored)]  # type: ignore[misc]
    if origin is dict:
        return dict[str, _json_type(arguments[1], stored)]  # type: ignore[misc]
    if origin is Literal:
        return type_
    return _json_class(type_, stored)


def _json_class(cls: Any, stored: bool) -> Any:
    if attrs.has(cls) or hasattr(cls, "_asdict"):
        return _object(cls, stored)
    for known, json_type in (
        (BacktestServerError, ErrorInfo),
        (datetime, Instant),
        (date, IsoDay),
        (Path, str),
    ):
        if issubclass(cls, known):
            return json_type
    return cls
