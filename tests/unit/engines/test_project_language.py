"""The language of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.engines.project_language import project_language


@pytest.mark.parametrize(
    ("files", "language"),
    [
        ({"main.py": ""}, "Python"),
        ({"Main.cs": ""}, "CSharp"),
        ({"Strategy.csproj": ""}, "CSharp"),
        ({"main.py": "", "Helper.cs": ""}, "Python"),
        ({"config.json": '{"algorithm-language": "CSharp"} // as LEAN writes it'}, "CSharp"),
        ({"config.json": "{"}, "Python"),
        ({}, "Python"),
    ],
)
def test_folder(tmp_path: Path, files: dict[str, str], language: str) -> None:
    """main.py decides, then C# files, then config.json."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert project_language(tmp_path) == language


@pytest.mark.parametrize(
    ("name", "language"), [("main.py", "Python"), ("Main.cs", "CSharp"), ("x.csproj", "CSharp"), ("x.dll", "CSharp")]
)
def test_file(tmp_path: Path, name: str, language: str) -> None:
    """A file decides by its name."""
    assert project_language(tmp_path / name) == language


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """The engine reports it."""
    assert project_language(tmp_path / "absent") == "Python"
