"""JSON with comments, as LEAN's lean.json and config.json are written.

The json5 package parses all of it but takes about 50 ms for a file as ``lean init`` writes it. So comments and trailing
commas are replaced by blanks for the standard library's parser, and json5 is imported only where that fails.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from server.core.errors import ConfigurationError

# A string or comment that is not closed extends to the end, so that the time is linear in the length of the text.
_STRING = r'"(?:[^"\\]|\\.)*+"?'
_COMMENTS = re.compile(rf"{_STRING}|(//[^\n\r\u2028\u2029]*|/\*.*?\*/)|/\*.*", re.DOTALL)
_TRAILING_COMMAS = re.compile(rf"{_STRING}|[{{\[]\s*,|(,)(?=\s*[}}\]])", re.DOTALL)
_NOT_LINE_ENDS = re.compile(r"[^\n\r]")
_JSON5_MESSAGE = re.compile(r"<string>:(\d+) (.*) at column (\d+)", re.DOTALL)


class JsonObject(dict[str, Any]):
    """An object of lean.json; `repeated` holds the keys that occur in it more than once."""

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        items = list(pairs)
        super().__init__(items)
        self.repeated = {key for key, count in Counter(key for key, _ in items).items() if count > 1}


def parse_json_with_comments(text: str, name: str) -> Any:
    """Parse JSON with comments, trailing commas and the rest of JSON5; objects become `JsonObject`.

    Args:
        text: The text.
        name: The text's name in errors.

    Raises:
        ConfigurationError: It does not parse; gives the line and column, and shows none of the values.
    """
    # Every character keeps its line and column. What json5 rejects is not valid JSON after this either.
    plain = _COMMENTS.sub(lambda found: _NOT_LINE_ENDS.sub(" ", found[0]) if found[1] else found[0], text)
    plain = _TRAILING_COMMAS.sub(lambda found: " " if found[1] else found[0], plain)
    try:
        return json.loads(plain, object_pairs_hook=JsonObject)
    except (ValueError, RecursionError):
        return _parse_json5(text, name)


def _parse_json5(text: str, name: str) -> Any:
    import json5

    line, problem, column = "1", "not JSON with comments", "1"
    try:
        if text.strip():
            return json5.loads(text, object_pairs_hook=JsonObject)
        problem = "the file is empty; write at least {}"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        if found := _JSON5_MESSAGE.fullmatch(str(error)):
            line, problem, column = found.groups()
            problem = " ".join((problem[:1].lower() + problem[1:]).split())
    raise ConfigurationError(f"{name}, line {line}, column {column}: {problem}")
