"""JSON with comments: what it means, what is rejected, and that json5 is seldom imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import ConfigurationError
from server.lean.json_with_comments import parse_json_with_comments
from tests.support.settings import write_lean


class TestJsonWithComments:
    def test_lean_file(self) -> None:
        """Comments and trailing commas, as in LEAN's own file, are ignored."""
        text = """{
            // "data-folder": "commented out",
            "data-folder": "../Data//x", /* several
            lines, "quoted" */ "url": "http://host/*no comment*/",
            "windows": "C:\\\\Jts\\\\", "quote": "a \\" // b",
            "list": [1, 2, /* three */], // the end
        }"""
        assert parse_json_with_comments(text, "x") == {
            "data-folder": "../Data//x",
            "url": "http://host/*no comment*/",
            "windows": "C:\\Jts\\",
            "quote": 'a " // b',
            "list": [1, 2],
        }

    def test_json5(self) -> None:
        """What goes beyond comments is JSON5: single quotes, bare keys, hexadecimal numbers."""
        assert parse_json_with_comments("{a: 'it // is', /* c */ b: 0x10,}", "x") == {"a": "it // is", "b": 16}

    @pytest.mark.parametrize(
        "text", ["{,}", "[,]", "[1,,]", "{// c\n,}", "{} /*", "{} /*/", "{} /* x *", "{'a//b': 1", '{"a" 1}']
    )
    def test_rejected(self, text: str) -> None:
        """What is not JSON5 is an error with line and column."""
        with pytest.raises(ConfigurationError, match=r"line [12], column"):
            parse_json_with_comments(text, "x")

    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(alphabet="ab\"\\/*,}]{[' \n\u2028"),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"/*,\\'), inner),
            max_leaves=8,
        ),
        comment=st.sampled_from([' // x, ] } "\n', "/* , } \" ' \n*/", " "]),
    )
    def test_comments_are_ignored(self, value: Any, comment: str) -> None:
        """Comments between any two tokens do not change the value."""
        encoder = json.JSONEncoder(separators=("," + comment, ":" + comment), ensure_ascii=False)
        assert parse_json_with_comments(comment + encoder.encode(value) + comment, "x") == value

    def test_comments_need_no_json5(self, tmp_path: Path) -> None:
        """Loading settings from a lean.json with comments imports no slow module."""
        write_lean(tmp_path, '{\n// comment\n"data-folder": "d", /* c */ "backtest-server": {"engine": "auto",},}')
        code = (
            "import sys, pathlib, server.settings as s\n"
            "s.load_settings(environ={}, cwd=pathlib.Path(sys.argv[1]))\n"
            "print([m for m in ('json5', 'loguru', 'numpy', 'requests', 'pluggy') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
