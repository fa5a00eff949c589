"""Errors and warnings on stderr, one line each, with every known secret masked."""

from __future__ import annotations

import sys


def print_error(message: str) -> None:
    """Print one cause of a failure on stderr."""
    _print_line("error", message)


def print_warning(message: str) -> None:
    """Print a warning on stderr."""
    _print_line("warning", message)


def _print_line(kind: str, message: str) -> None:
    from server.observability import mask

    print(f"{kind}: {mask(' '.join(message.split()))}", file=sys.stderr)
