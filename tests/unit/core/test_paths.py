"""Paths as users write them: expanded or rejected, never taken for the name of a folder."""

from __future__ import annotations

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.paths import InvalidPath, expand_path

ENVIRON = {"HOME": "/home/ada", "DATA": "/data", "REL": "rel", "TILDE": "~/x", "DOLLAR": "/a$b", "EMPTY": ""}
ME = pwd.getpwuid(os.getuid())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data", "data"),
        ("/abs/data", "/abs/data"),
        ("../data", "../data"),
        ("~", "/home/ada"),
        ("~/", "/home/ada/"),
        ("~/lean/data", "/home/ada/lean/data"),
        (f"~{ME.pw_name}/data", f"{ME.pw_dir.rstrip('/')}/data"),
        ("./~/data", "./~/data"),
        ("a/~b", "a/~b"),
        ("$HOME/data", "/home/ada/data"),
        ("${HOME}/data", "/home/ada/data"),
        ("$DATA", "/data"),
        ("x/$REL/${REL}s", "x/rel/rels"),
        ("$TILDE", "/home/ada/x"),
        ("$DOLLAR", "/a$b"),
        ("my data (1), 100%", "my data (1), 100%"),
    ],
)
def test_what_is_expanded(text: str, path: str) -> None:
    """A home folder at the beginning, variables anywhere; everything else stays as it is."""
    assert expand_path(text, ENVIRON) == path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$NONE/data", "the variable $NONE in it is not set"),
        ("data/${NONE}", "the variable $NONE in it is not set"),
        ("$EMPTY/data", "the variable $EMPTY in it is not set"),
        ("$", "not followed by the name of a variable"),
        ("a$/b", "not followed by the name of a variable"),
        ("$(pwd)/data", "not followed by the name of a variable"),
        ("${HOME", "not followed by the name of a variable"),
        ("${}", "not followed by the name of a variable"),
        ("$1", "not followed by the name of a variable"),
        ("~no-such-user/data", "there is no user no-such-user; write ./~no-such-user"),
    ],
)
def test_what_names_nothing(text: str, words: str) -> None:
    """The error says which variable or user."""
    with pytest.raises(InvalidPath) as raised:
        expand_path(text, ENVIRON)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["C:\\Lean\\data", "c:/Lean/data", "C:", "D:data", "data\\usa", "\\\\host\\share", "%USERPROFILE%/data", "./a\\b"],
)
def test_paths_of_windows(text: str) -> None:
    """They are rejected on other systems and unchanged on Windows."""
    with pytest.raises(InvalidPath, match="it is a path of Windows"):
        expand_path(text, {}, windows=False)
    assert expand_path(text, {}, windows=True) == text


def test_a_variable_with_a_path_of_windows() -> None:
    """The value of a variable is checked, too."""
    with pytest.raises(InvalidPath, match="Windows"):
        expand_path("$WIN/data", {"WIN": "C:\\Users"}, windows=False)


@given(st.text())
def test_any_text(text: str) -> None:
    """What is returned begins with no ~ and, where no variable has one, contains no $ or backslash."""
    try:
        path = expand_path(text, {"HOME": "/home/ada"}, windows=False)
    except InvalidPath:
        return
    assert not path.startswith("~")
    assert "$" not in path
    assert "\\" not in path
