"""What developers read: packages, hooks, dependencies and the version are those of the code."""

from __future__ import annotations

import configparser
import inspect
import re

from server import __version__
from server.plugins import hookspecs
from tests.support.documents import (
    FENCED,
    ROOT,
    page,
    read,
    rows,
    section,
)


def hooks() -> dict[str, str]:
    """Each hook as it is written in a document: name and arguments."""
    specs = {
        name: function
        for name, function in vars(hookspecs).items()
        if inspect.isfunction(function) and hasattr(function, f"{hookspecs.PROJECT_NAME}_spec")
    }
    return {name: f"{name}({', '.join(inspect.signature(function).parameters)})" for name, function in specs.items()}


def test_each_hook_is_documented() -> None:
    """A heading for each hook has its very signature, and there are headings for no others."""
    headings = re.findall(r"^### `(.+)`$", section(page("writing-a-provider.md"), "## The hooks"), re.MULTILINE)

    assert sorted(headings) == sorted(hooks().values())
    assert len(headings) >= 3


def test_each_package_has_its_line_in_the_architecture() -> None:
    """The tree has each package of the product and each top-level module, and no other."""
    (tree,) = (block for _, language, block in FENCED.findall(page("architecture.md")) if "__main__.py  " in block)
    listed: list[str] = []
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name.rstrip("/")]
        listed.append("/".join(folders))
    server = ROOT / "server"
    packages = {path.parent.relative_to(ROOT).as_posix() for path in server.rglob("__init__.py")}
    modules = {path.relative_to(ROOT).as_posix() for path in server.glob("*.py") if path.name != "__init__.py"}

    assert sorted(listed) == sorted(packages | modules)


def test_each_dependency_is_documented() -> None:
    """The tables have each requirement of setup.cfg under its kind, and no other; each with a licence."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    kinds = {
        "## At run time": config["options"]["install_requires"],
        "## Extra `serve`": config["options.extras_require"]["serve"],
        "## Extra `stream`": config["options.extras_require"]["stream"],
        "## Extra `calendar`": config["options.extras_require"]["calendar"],
        "## For tests": config["options.extras_require"]["test"],
        "## For benchmarks": config["options.extras_require"]["bench"],
    }
    for heading, wanted in kinds.items():
        table = list(rows(section(page("dependencies.md"), heading)))

        names = re.findall(r"^[A-Za-z0-9_.-]+", wanted.strip(), re.MULTILINE)
        assert [cells[0].strip("`") for cells in table] == [name for name in names if name != "backtest-server"]
        assert all(why and licence for _, _, why, licence, *_ in table)


def test_changelog_has_this_version() -> None:
    """The version that is installed has its heading in the changelog."""
    assert f"\n## [{__version__}] - " in read(ROOT / "CHANGELOG.md")
