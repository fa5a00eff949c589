"""Paths as users write them in settings and arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})?", re.ASCII)
_WINDOWS_PATH = re.compile(r"[A-Za-z]:|.*\\|.*%[A-Za-z_][A-Za-z0-9_]*%", re.ASCII | re.DOTALL)


class InvalidPath(ValueError):  # noqa: N818 - a state of a value, which its setting's error names
    """A path cannot be used; the text says why and what to write, as the end of a sentence."""


def expand_path(text: str, environ: Mapping[str, str], *, windows: bool = os.name == "nt") -> str:
    """Return a path with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced.

    Args:
        text: The path.
        environ: The environment.
        windows: Whether backslashes and drive letters are part of paths.

    Raises:
        InvalidPath: A variable is not set or is empty, a user is unknown, a ``$`` names no variable, or the path is one
            of Windows on another system. No folder of such a name is ever created.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            raise InvalidPath("$ in it is not followed by the name of a variable; write $NAME or ${NAME}")
        if not environ.get(name):
            raise InvalidPath(f"the variable ${name} in it is not set; set it, or write the path itself")
        return environ[name]

    path = _with_home(_VARIABLE.sub(value, text), environ)
    if not windows and _WINDOWS_PATH.match(path):
        raise InvalidPath("it is a path of Windows; write it with slashes and as this system names it")
    return path


def _with_home(text: str, environ: Mapping[str, str]) -> str:
    """The path with the home folder in the place of a ``~`` or ``~user`` at its beginning."""
    if not text.startswith("~"):
        return text
    user, slash, rest = text.partition("/")
    if user == "~" and environ.get("HOME"):
        return environ["HOME"].rstrip("/") + slash + rest or "/"
    home = os.path.expanduser(user)  # noqa: PTH111 - Path.expanduser raises for unknown users
    if home == user:
        raise InvalidPath(f"there is no user {user[1:]}; write ./{user} for a folder of that name")
    return home.rstrip("/") + slash + rest or "/"
