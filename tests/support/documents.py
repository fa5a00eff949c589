"""Reading of the documents, and what the code has that they describe."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from benchmarks.__main__ import benchmark
from server.cli import cli
from server.plugins.hookspecs import ProviderSpec
from server.plugins.manager import BUILT_IN
from server.settings.core import CORE_SETTINGS, RESERVED_VARIABLES

ROOT = Path(__file__).parents[2]
USER_DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = (
    *USER_DOCUMENTS,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    ROOT / "examples" / "ZacQC" / "README.md",
    ROOT / "tests" / "cassettes" / "README.md",
)
EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@cache
def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def page(name: str) -> str:
    return read(ROOT / "docs" / name)


def without_blocks(text: str) -> str:
    return FENCED.sub("", text)


def section(text: str, heading: str) -> str:
    """The text under a heading, its subheadings included."""
    lines = text.splitlines()
    start = lines.index(heading)
    level = len(heading) - len(heading.lstrip("#"))
    ends = (at for at in range(start + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[at]))
    return "\n".join(lines[start : next(ends, len(lines))])


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of each table, headings left out."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        heading = at + 1 < len(lines) and lines[at + 1].startswith("|--")
        if line.startswith("| ") and not heading:
            yield [cell.strip() for cell in line.strip("|").split(" |")]


def first_column(text: str) -> list[str]:
    """What is in code letters in the first column of the tables."""
    return [name for cells in rows(text) for name in INLINE.findall(cells[0])]


def one_line(text: str) -> str:
    return " ".join(text.split())


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def options_of(command: click.Command) -> set[str]:
    """The options of a command, and of the subcommands of a group."""
    own = {name for param in command.params for name in param.opts if name.startswith("--")}
    subcommands = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, subcommands))


def all_options() -> set[str]:
    return {"--help", "--version"}.union(*map(options_of, (*cli.commands.values(), benchmark)))


def built_in_providers() -> list[ProviderSpec]:
    return [spec for name in BUILT_IN.values() for spec in importlib.import_module(name).backtest_data_providers()]


def settings_of(config_class: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    return {field.name.replace("_", "-"): field for field in attrs.fields(config_class)}


def all_variables() -> set[str]:
    fields = [field for spec in built_in_providers() for field in attrs.fields(spec.config_class)]
    return {
        *RESERVED_VARIABLES,
        *(name for setting in CORE_SETTINGS for name in setting.env),
        *(variable for field in fields for variable in field.metadata.get("env", ())),
    }


@cache
def source_texts() -> tuple[str, ...]:
    """Each text in the product's code, as it is put together; what is filled in later is a bar."""
    found = []
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "|" for part in node.values)
                found.append("".join(str(part) for part in parts))
    return tuple(found)


def links(document: Path) -> Iterable[str]:
    found = _LINK.findall(without_blocks(read(document)))
    return [target for target in found if not target.startswith(("https://", "http://"))]
