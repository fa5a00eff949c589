"""LEAN's own settings file: where it lies, and what stands in it.

lean.json is JSON with comments. The json5 package reads all of that, but takes about 50 ms for a file as
``lean init`` writes it; so comments and trailing commas are blanked out here, without moving anything, for the
standard library's parser, and json5 has the word only where that is not enough.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import field, frozen

from server.core.errors import ConfigurationError

FILE_NAME = "lean.json"

# What is never closed reaches to the end, lest each quote of a hostile file be a start to try anew.
_STRING = r'"(?:[^"\\]|\\.)*+"?'
_COMMENTS = re.compile(rf"{_STRING}|//[^\n\r\u2028\u2029]*|/\*(?:.*?\*/|.*)", re.DOTALL)
_COMMAS = re.compile(rf"{_STRING}|[{{\[]\s*,|,(?=\s*[}}\]])", re.DOTALL)
_NOT_LINE_ENDS = re.compile(r"[^\n\r]")
_JSON5_MESSAGE = re.compile(r"<string>:(\d+) (.*) at column (\d+)", re.DOTALL)


class JsonObject(dict[str, Any]):
    """An object of lean.json; ``repeated`` are the keys that stand in it more than once."""

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        items = list(pairs)
        super().__init__(items)
        self.repeated: frozenset[str] = frozenset()
        if len(self) < len(items):
            keys = [key for key, _ in items]
            self.repeated = frozenset(key for key in keys if keys.count(key) > 1)


@frozen(kw_only=True)
class LeanJson:
    """A lean.json that was read. Its values hold keys and tokens and are not part of the repr."""

    path: Path
    values: JsonObject = field(repr=False)

    @property
    def source(self) -> str:
        """Where its values stand, in words for people."""
        return f"{FILE_NAME}:{self.path}"


def find_lean_json(start: Path) -> Path | None:
    """The nearest lean.json in this folder or one above it, absolute; None if there is none."""
    start = start.absolute()
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if os.path.isfile(candidate):  # noqa: PTH113 - Path.is_file raises where a folder may not be looked into
            return candidate
    return None


def read_lean_json(path: Path) -> LeanJson:
    """Read a lean.json.

    Raises:
        ConfigurationError: It cannot be read, is not text in UTF-8, or is not an object in JSON with comments;
            says the line and column.
    """
    path = path.absolute()
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no {path}; name the lean.json to use, or leave it out to have it looked for"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path} cannot be read: {reason}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    values = parse_json_with_comments(text, str(path))
    if not isinstance(values, JsonObject):
        raise ConfigurationError(f"{path} is not a JSON object; it has to begin with {{ and end with }}")
    return LeanJson(path=path, values=values)


def parse_json_with_comments(text: str, name: str) -> Any:
    """Parse JSON with comments, trailing commas and the rest of JSON5; objects become `JsonObject`.

    Args:
        text: The text.
        name: What to call it in an error.

    Raises:
        ConfigurationError: It does not parse; says the line and column, and shows nothing of the values.
    """
    try:
        return json.loads(text, object_pairs_hook=JsonObject)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_without_comments(text), object_pairs_hook=JsonObject)
    except (ValueError, RecursionError):
        return _parse_json5(text, name)


def _without_comments(text: str) -> str:
    """Blank out comments and trailing commas; every other character stays in its line and column.

    Where the text is no more than JSON with these two, the result is JSON with the same meaning; anything
    else of JSON5 (say single quotes) is left as it is and so still does not parse as JSON.
    """

    def blank_comment(match: re.Match[str]) -> str:
        found = match[0]
        unclosed = found.startswith("/*") and (len(found) < 4 or not found.endswith("*/"))
        return found if found[0] == '"' or unclosed else _NOT_LINE_ENDS.sub(" ", found)

    def blank_comma(match: re.Match[str]) -> str:
        return " " if match[0] == "," else match[0]

    return _COMMAS.sub(blank_comma, _COMMENTS.sub(blank_comment, text))


def _parse_json5(text: str, name: str) -> Any:
    import json5

    if not text.strip():
        raise ConfigurationError(f"{name}, line 1, column 1: the file is empty; write at least {{}}")
    try:
        return json5.loads(text, object_pairs_hook=JsonObject)
    except RecursionError:
        raise ConfigurationError(f"{name}, line 1, column 1: nested too deeply") from None
    except ValueError as error:
        found = _JSON5_MESSAGE.fullmatch(str(error))
        if found is None:
            raise ConfigurationError(f"{name}, line 1, column 1: not JSON with comments") from None
        line, what, column = found.groups()
        problem = " ".join(what.split())
        problem = problem[:1].lower() + problem[1:]
        raise ConfigurationError(f"{name}, line {line}, column {column}: {problem}") from None
