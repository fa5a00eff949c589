"""Words of error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known word, or all of them."""
    words = sorted(known)
    for close in difflib.get_close_matches(word, words, n=1):
        return f"did you mean {close}?"
    return f"known are {', '.join(words)}" if words else "none are known"


def quoted_name(name: str) -> str:
    """A name from a file or the environment for an error: quoted, and cut where it is long."""
    return repr(name) if len(name) <= 48 else repr(name[:45] + "...")
