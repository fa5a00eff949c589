"""The vocabulary: words and names that code, tests and documents do not use, each with what to write instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from attrs import frozen

from server.cli import cli

ROOT = Path(__file__).parents[3]
PACKAGES = ("server", "backtest_server_api", "benchmarks")
TESTS = ROOT / "tests"
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))

WORDS = {
    r"tells?|telling|told": "emit, report, log, notify",
    r"somebody|someone|nobody|whoever|everybody|everyone": "the actor (the user, the caller, the host), or the passive",
    r"stands|stood": "is, exists",
    r"(?:is|are) none": "is empty, does not exist, is not a symbol",
    r"anew|afresh": "again, from scratch, rebuild",
    r"the (?:bare )?wire": "the network, the HTTP transport",
    r"beside": "during, alongside, after, next to",
    r"so many": "the number, this many",
    r"what was kept": "cached, stored",
    r"rooms?": "package",
    r"time of change": "modification time",
    r"came to nothing|nobody was asked": "no request was sent",
    r"leaves? no trace": "remove empty state",
}
"""What text does not say: a pattern of whole words, in any case, and what to write instead."""

MODULES = {
    "answers": "responses",
    "asked": "build",
    "demonstration": "demo",
    "doors": "login, api_docs",
    "page_text": "template_filters",
    "questions": "requests",
    "reference_answers": "reference_responses",
    "refusals": "errors",
    "standing": "existing_file",
    "work": "context",
}
"""Modules that do not have these names, and what to use instead."""

NAMES = {
    "Asked": "BuildRequest",
    "Doing": "StatusColumn",
    "Fired": "CorporateEvent",
    "Given": "RawValue",
    "Known": "Constant",
    "Lack": "MissingBar",
    "Look": "DownloadPlan",
    "Made": "BuildOutcome",
    "Part": "TickerSpan",
    "PassingError": "RetryableError",
    "Ran": "RunCounts, RunTimings",
    "Standing": "ExistingFile",
    "Tally": "DownloadCounts",
    "Tell": "EventStream",
    "Told": "a noun",
    "Watch": "EventStream, EventListener",
    "Work": "CorporateActionsContext, or another noun",
    "_TURNS": "_CACHE_LOCK",
    "_sole": "server_lock",
    "bare": "without_factor_file",
    "came_to_nothing": "never_reached_vendor",
    "everybodys": "shared_errors",
    "explained": "translate_os_errors",
    "forget": "evict",
    "kept_windows": "cached_windows",
    "leave_no_trace": "remove_empty_state",
    "nobody_was_asked": "a class attribute of the error",
    "odd": "inexact",
    "strangers": "unattributed",
    "survivable": "allows_fallback",
    "theirs": "foreign",
}
"""Names of classes, functions and variables that are not used, and what to use instead."""

PARTS_OF_NAMES = {"afresh", "anew", "everybody", "nobody", "somebody", "stands", "told", "whoever"}
"""Words that are no part of a name either."""

PARTICIPLES = re.compile(r"(?<!e)ed$")
NOT_PARTICIPLES = {"Cancelled", "DownloadCancelled"}
"""Classes that end like a participle and may."""

ALLOWED = ("file.tell()", "response.tell()")
"""What is cut out of a line before it is searched."""

_PATTERNS = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), instead) for pattern, instead in WORDS.items()]
_NONE = re.compile(r"\b(?:is|are) None\b")


@frozen
class Finding:
    """A word or a name that is not used, with its place and what to write instead."""

    place: str
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.place}: {self.found!r}; write: {self.instead}"


def in_text(text: str, name: str) -> Iterator[Finding]:
    """Search text line by line; an expression over lines is searched with the line that it ends on."""
    for number, line in enumerate(text.splitlines(), 1):
        for allowed in ALLOWED:
            line = line.replace(allowed, "")
        line = _NONE.sub("", line)  # Python's
        for pattern, instead in _PATTERNS:
            yield from (Finding(f"{name}:{number}", found[0], instead) for found in pattern.finditer(line))


def named(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno


def in_names(tree: ast.Module, name: str) -> Iterator[Finding]:
    """Search the names that a module defines."""
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for defined, line in sorted(set(named(tree)), key=lambda one: (one[1], one[0])):
        place = f"{name}:{line}"
        if (instead := NAMES.get(defined, NAMES.get(defined.lstrip("_")))) is not None:
            yield Finding(place, defined, instead)
        elif has_unused_part(defined):
            yield Finding(place, defined, "a name without this word")
        elif defined in classes and PARTICIPLES.search(defined) and defined not in NOT_PARTICIPLES:
            yield Finding(place, defined, "a noun")


def in_names_of_tests(tree: ast.Module, name: str) -> Iterator[Finding]:
    """Search the names that a module of tests defines for words only: local names such as ``odd`` are free there."""
    for defined, line in sorted(set(named(tree)), key=lambda one: (one[1], one[0])):
        if has_unused_part(defined):
            yield Finding(f"{name}:{line}", defined, "a name without this word")


def has_unused_part(name: str) -> bool:
    """Whether a word that no name has is a part of this one."""
    return bool(PARTS_OF_NAMES & set(words_of(name)))


def words_of(name: str) -> list[str]:
    """The words of a name in snake case or camel case, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def modules() -> Iterator[tuple[Path, str]]:
    """The source files, each with its path from the root."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path, path.relative_to(ROOT).as_posix()


def modules_of_tests() -> Iterator[tuple[Path, str]]:
    """The tests and their support, each with its path from the root; without this module, which lists the words."""
    for path in sorted(TESTS.rglob("*.py")):
        if path != Path(__file__):
            yield path, path.relative_to(ROOT).as_posix()


def help_texts(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """The help of a command, of its options, and of its subcommands, each with what it is the help of."""
    yield command.help or "", name
    for option in command.params:
        if isinstance(option, click.Option):
            yield option.help or "", f"{name} {option.opts[0]}"
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            yield from help_texts(subcommand, f"{name} {subcommand.name}")


def report(findings: Iterator[Finding]) -> str:
    """The findings, one a line."""
    return "\n".join(map(str, findings))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents(document: Path) -> None:
    """A document uses the field's words."""
    found = report(in_text(document.read_text("utf-8"), document.relative_to(ROOT).as_posix()))
    assert not found, found


def test_help() -> None:
    """So does the help of each command and option."""
    found = report(finding for text, name in help_texts(cli, "backtest-server") for finding in in_text(text, name))
    assert not found, found


@pytest.mark.parametrize(("path", "name"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_modules(path: Path, name: str) -> None:
    """So do names, comments, docstrings and messages."""
    source = path.read_text("utf-8")
    found = [*in_names(ast.parse(source), name), *in_text(source, name)]
    if (instead := MODULES.get(path.stem)) is not None:
        found.insert(0, Finding(name, path.stem, instead))
    assert not found, report(iter(found))


@pytest.mark.parametrize(
    ("path", "name"), list(modules_of_tests()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_modules_of_tests(path: Path, name: str) -> None:
    """So do the tests; the names that only modules of the product must not have are free there."""
    source = path.read_text("utf-8")
    found = [*in_names_of_tests(ast.parse(source), name), *in_text(source, name)]
    assert not found, report(iter(found))


def test_what_is_found() -> None:
    """The search finds words in any case and parts of names, and passes over words that only look alike."""
    text = "Nobody is\ntold anew.\nNone is None; a standard, the wired room, roomy; there is none"
    assert [(one.place, one.found) for one in in_text(text, "x.md")] == [
        ("x.md:1", "Nobody"),
        ("x.md:2", "told"),
        ("x.md:2", "anew"),
        ("x.md:3", "is none"),
        ("x.md:3", "room"),
    ]
    source = "class Built: ...\nclass Fetched: ...\nclass Seed: ...\ndef tell_nobody(odd): bare = 1\nself._theirs = 2\n"
    assert [(one.place, one.found) for one in in_names(ast.parse(source), "x.py")] == [
        ("x.py:2", "Fetched"),
        ("x.py:4", "bare"),
        ("x.py:4", "odd"),
        ("x.py:4", "tell_nobody"),
        ("x.py:5", "_theirs"),
    ]
    assert [(one.place, one.found) for one in in_names_of_tests(ast.parse(source), "x.py")] == [
        ("x.py:4", "tell_nobody"),
    ]
