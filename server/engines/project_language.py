"""The language of a LEAN project."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from server.core.errors import ConfigurationError
from server.lean.json_with_comments import parse_json_with_comments

Language = Literal["Python", "CSharp"]


def project_language(project: Path) -> Language:
    """Return the language of a project, as LEAN's CLI decides it: by its main file, else by its config.json.

    Args:
        project: The project's folder, or its main file.
    """
    if project.suffix == ".py":
        return "Python"
    if project.suffix in (".cs", ".csproj", ".dll"):
        return "CSharp"
    with suppress(OSError):
        if (project / "main.py").is_file():
            return "Python"
        if any(path.suffix in (".cs", ".csproj") for path in project.iterdir()):
            return "CSharp"
        with suppress(ConfigurationError, UnicodeDecodeError):
            config = parse_json_with_comments((project / "config.json").read_text("utf-8-sig"), "config.json")
            if isinstance(config, dict) and config.get("algorithm-language") == "CSharp":
                return "CSharp"
    return "Python"
