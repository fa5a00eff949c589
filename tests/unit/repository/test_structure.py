"""Rules about the structure of the code that import-linter cannot hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

MAY_KNOW_RESOLUTIONS = {
    "server/lean": "LEAN's formats",
    "server/plugins/polygon_provider/windows.py": "the vendor's limits",
    "server/plugins/lean_cli_provider/commands.py": "the vendor's limits",
}
"""Where code may depend on which resolution it has, and why."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the product with its path."""
    for folder in ("server", "backtest_server_api"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names_a_resolution(node: ast.AST) -> bool:
    """Whether a member of `Resolution`, or the text of one, is in an expression."""
    return any(
        (isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "Resolution")
        or (isinstance(part, ast.Constant) and part.value in ("tick", "second", "minute", "hour", "daily"))
        for part in ast.walk(node)
    )


def branches(tree: ast.Module) -> Iterator[int]:
    """The lines of a module that compare with a resolution, match one, or have a table of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(map(names_a_resolution, [node.left, *node.comparators])):
            yield node.lineno
        elif isinstance(node, ast.match_case) and names_a_resolution(node.pattern):
            yield node.pattern.lineno
        elif isinstance(node, ast.Dict) and any(key is not None and names_a_resolution(key) for key in node.keys):
            yield node.lineno


def test_only_formats_and_request_planners_depend_on_the_resolution() -> None:
    """Other code asks the layout of a series, so that a new resolution is one enum member and one row of a table."""
    found = [
        f"{path}:{line}"
        for path, tree in modules()
        if not path.startswith(tuple(MAY_KNOW_RESOLUTIONS))
        for line in branches(tree)
    ]

    assert found == [], "ask layout_of(series) instead"


def test_the_check_finds_branches() -> None:
    """In each of their forms, and no plain use of a resolution."""
    source = """
if series.resolution is Resolution.DAILY: pass
if name == "minute": pass
table = {Resolution.SECOND: 1}
match resolution:
    case Resolution.MINUTE: pass
series = Series("SPY", Resolution.DAILY)
"""
    assert sorted(branches(ast.parse(source))) == [2, 3, 4, 6]
