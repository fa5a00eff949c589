"""The error of all formats."""

from __future__ import annotations


class FormatError(ValueError):
    """A file is not what LEAN would have written, or LEAN cannot use it."""
