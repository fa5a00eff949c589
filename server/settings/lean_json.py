"""lean.json, LEAN's settings file: how it is found and read."""

from __future__ import annotations

import os
from pathlib import Path

from server.core.errors import ConfigurationError
from server.lean.json_with_comments import JsonObject, parse_json_with_comments

FILE_NAME = "lean.json"


def find_lean_json(start: Path) -> Path | None:
    """The absolute path of the nearest lean.json in this folder or one above it; None if there is no such file."""
    start = start.absolute()
    paths = (folder / FILE_NAME for folder in (start, *start.parents))
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113 - Path.is_file may raise


def read_lean_json(path: Path) -> JsonObject:
    """The content of a lean.json.

    Raises:
        ConfigurationError: It cannot be read, is not UTF-8, or is not an object in JSON with comments.
    """
    path = path.absolute()
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        message = f"there is no {path}; name an existing lean.json, or omit it to use the nearest one"
        raise ConfigurationError(message) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        values = parse_json_with_comments(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    if not isinstance(values, JsonObject):
        raise ConfigurationError(f"{path} is not a JSON object; it has to begin with {{ and end with }}")
    return values
