"""API keys and tokens that are masked when printed."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from server.core.errors import BacktestServerError

MASK = "**********"


class Secret:
    """An API key or token. ``str``, ``repr`` and format mask it, pickle refuses it; only ``reveal()`` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for an HTTP header or a private file only."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})" if self._value else "Secret('')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")


def mask_secrets(text: str, secrets: Iterable[Secret]) -> str:
    """Replace each secret in the text by asterisks: in any case, and URL-encoded wholly or in part."""
    # Longest first: masking a secret that is part of another would leave the rest of the other readable.
    for value in sorted({secret.reveal() for secret in secrets}, key=len, reverse=True):
        if value:
            text = _pattern(value).sub(MASK, text)
    return text


def without_secrets(environ: Mapping[str, str], secrets: Sequence[Secret]) -> dict[str, str]:
    """Return the variables of an environment whose value contains no secret, for a program that needs none."""
    return {name: value for name, value in environ.items() if mask_secrets(value, secrets) == value}


def mask_error(error: BacktestServerError, secrets: Iterable[Secret]) -> None:
    """Replace each secret in the text and the request id of an error (see `mask_secrets`)."""
    secrets = tuple(secrets)
    error.args = (mask_secrets(str(error), secrets),)
    error.request_id = mask_secrets(error.request_id, secrets) if error.request_id else None


@functools.lru_cache(maxsize=64)
def _pattern(value: str) -> re.Pattern[str]:
    return re.compile("".join(map(_any_form, value)), re.IGNORECASE)


def _any_form(character: str) -> str:
    forms = {character, quote(character, safe=""), "".join(f"%{byte:02X}" for byte in character.encode())}
    if character == " ":
        forms.add("+")
    return f"(?:{'|'.join(re.escape(form) for form in sorted(forms, key=len, reverse=True))})"
