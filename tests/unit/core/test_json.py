"""Values of attrs classes as JSON, and back."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from attrs import field, frozen

from server.core.errors import ConfigurationError
from server.core.json import from_json, json_options, to_json


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Pair(NamedTuple):
    """A named tuple."""

    left: float
    right: tuple[float, ...]


@frozen(kw_only=True)
class Inner:
    """A value inside another."""

    ratio: float


@frozen(kw_only=True)
class Outer:
    """A value with every option."""

    colour: Colour | None = None
    path: Path | None = None
    day: date | None = None
    at: datetime | None = None
    days: dict[date, Colour] = field(factory=dict)
    inner: tuple[Inner, ...] = ()
    rounded: float = field(default=0.0, metadata=json_options(digits=3))
    pair: Pair = field(default=Pair(0.12345, (0.98765,)), metadata=json_options(digits=2))
    error: ConfigurationError | None = None
    renamed: int = field(default=1, metadata=json_options(key="new_name"))
    hidden: int = field(default=2, metadata=json_options(omit=True))


def test_every_type_has_its_form() -> None:
    """Enumeration members are values, days and instants ISO text, paths text, errors code and message."""
    value = Outer(
        colour=Colour.RED,
        path=Path("a/b"),
        day=date(2024, 1, 2),
        at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        days={date(2024, 1, 3): Colour.RED},
        inner=(Inner(ratio=0.123456789),),
        rounded=0.123456789,
        error=ConfigurationError("it does not fit"),
    )

    assert to_json(value) == {
        "colour": "red",
        "path": "a/b",
        "day": "2024-01-02",
        "at": "2024-01-02T03:04:05+00:00",
        "days": {"2024-01-03": "red"},
        "inner": [{"ratio": 0.123456789}],
        "rounded": 0.123,
        "pair": {"left": 0.12, "right": [0.99]},
        "error": {"code": "configuration", "message": "it does not fit"},
        "new_name": 1,
    }


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "text"])
def test_scalars_are_themselves(value: object) -> None:
    """Type and value."""
    assert to_json(value) is value


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), [object()]])
def test_other_types_are_refused(value: object) -> None:
    """Nothing is converted to its text by accident."""
    with pytest.raises(TypeError, match="has no form in JSON"):
        to_json(value)


@frozen(kw_only=True)
class Plain:
    """A value whose JSON has all its fields."""

    colour: Colour | None
    path: Path | None
    day: date | None
    names: tuple[str, ...]


@pytest.mark.parametrize(
    "value",
    [
        Plain(colour=Colour.RED, path=Path("a"), day=date(2024, 1, 2), names=("x", "y")),
        Plain(colour=None, path=None, day=None, names=()),
    ],
)
def test_a_value_is_built_from_its_json(value: Plain) -> None:
    """Unknown keys are ignored."""
    assert from_json({**to_json(value), "unknown": 1}, Plain) == value


@pytest.mark.parametrize("change", [{"day": "yesterday"}, {"colour": "blue"}, {"names": 3}])
def test_json_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    """The message names the key."""
    values = {"colour": None, "path": None, "day": None, "names": [], **change}

    with pytest.raises(ValueError, match=next(iter(change))):
        from_json(values, Plain)


@frozen
class Holder:
    """A value of which JSON has parts of another."""

    inner: Inner = field(metadata=json_options(inline={"share": "ratio"}))
    other: int = 3


def test_a_field_is_replaced_by_attributes_of_its_value() -> None:
    """In its place."""
    assert list(to_json(Holder(Inner(ratio=0.5))).items()) == [("share", 0.5), ("other", 3)]
