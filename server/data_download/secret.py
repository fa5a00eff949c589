"""A value that never prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "**********"


class Secret:
    """An API key or token. ``str``, ``repr``, format and pickle never show it; only ``reveal()`` does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, to be put into an HTTP header or a private file and nowhere else."""
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
    """Replace each secret in the text, in any case and in its URL-encoded forms, by asterisks."""
    for secret in secrets:
        value = secret.reveal()
        if not value:
            continue
        for form in sorted({value, quote(value, safe=""), quote_plus(value)}, key=len, reverse=True):
            text = re.sub(re.escape(form), MASK, text, flags=re.IGNORECASE)
    return text
