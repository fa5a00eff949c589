"""What holds for every document: what it names exists, its links lead somewhere, and it names no machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from server.cli import cli
from server.settings.core import load_settings
from tests.support.documents import (
    DOCUMENTS,
    EACH_DOCUMENT,
    FENCED,
    INLINE,
    ROOT,
    all_options,
    all_variables,
    built_in_providers,
    links,
    read,
    slug,
    source_texts,
    without_blocks,
)

OPTIONS_OF_OTHERS = {
    "lean": {"--output", "--no-update", "--data-provider-historical", "--parameter", "--polygon-license-type"},
    "pip": {"--upgrade"},
    "pytest": {"--record"},
    "ruff": {"--check"},
}
VARIABLES_OF_OTHERS = {"LEAN_SAMPLE_DATA", "LEAN_LAUNCHER"}
_VARIABLE = re.compile(r"\b(?:BACKTEST_SERVER|POLYGON|MASSIVE|LEAN|USE_POLYGON)_[A-Z0-9_]+\b")


@EACH_DOCUMENT
def test_each_option_named_exists(document: Path) -> None:
    """Whatever looks like an option in code letters is one of ours, or is known to be another program's."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(INLINE.findall(without_blocks(read(document))))))

    assert named - all_options() - set().union(*OPTIONS_OF_OTHERS.values()) == set()


def command_lines(document: Path) -> list[str]:
    """The lines of fenced blocks that call the product."""
    lines = [line.strip() for _, _, block in FENCED.findall(read(document)) for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?backtest-server ", line)]


@pytest.mark.parametrize("line", sorted({line for document in DOCUMENTS for line in command_lines(document)}))
def test_command_lines_parse(line: str) -> None:
    """A command line in a document is taken by the command line's own parser."""
    _, name, *arguments = shlex.split(line, comments=True)

    assert cli.commands[name].make_context(name, arguments).command is cli.commands[name]


def test_command_lines_are_found() -> None:
    """The search for command lines finds the ones that the README shows."""
    assert len(command_lines(ROOT / "README.md")) >= 3


@EACH_DOCUMENT
def test_commands_named_in_a_sentence_exist(document: Path) -> None:
    """`backtest-server something` in a sentence names a command."""
    named = {
        words[1]
        for code in INLINE.findall(without_blocks(read(document)))
        if len(words := code.split()) > 1 and words[0] == "backtest-server" and not words[1].startswith("-")
    }

    assert named - set(cli.commands) == set()


@EACH_DOCUMENT
def test_variables_named_exist(document: Path) -> None:
    """An environment variable in a document is one of ours, or one that the document's own example declares."""
    text = read(document)
    declared = set(re.findall(r'env=\("(\w+)",\)', text))
    named = {name for name in _VARIABLE.findall(text) if not name.endswith("_")}

    assert named - all_variables() - declared - VARIABLES_OF_OTHERS == set()


def lean_jsons() -> list[tuple[str, str]]:
    """Each lean.json that a document shows."""
    return [
        (document.name, block)
        for document in DOCUMENTS
        for _, language, block in FENCED.findall(read(document))
        if language.startswith("json") and '"backtest-server"' in block
    ]


@pytest.mark.parametrize(("name", "block"), lean_jsons(), ids=[name for name, _ in lean_jsons()])
def test_each_lean_json_is_accepted(name: str, block: str, tmp_path: Path) -> None:
    """A lean.json in a document is read without complaint, and so are its providers' settings."""
    (tmp_path / "lean.json").write_text(block, encoding="utf-8")

    settings = load_settings(environ={}, cwd=tmp_path)

    assert settings.lean_config == tmp_path / "lean.json"
    for spec in built_in_providers():
        assert settings.provider_config(spec.name, spec.config_class) is not None


def anchors(document: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", without_blocks(read(document)), re.MULTILINE)}


@EACH_DOCUMENT
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link or image leads to a file of this repository, and its anchor to a heading there."""
    for target in links(document):
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document

        assert path.is_relative_to(ROOT), target
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_document_can_be_reached() -> None:
    """Each page of docs/ is linked from the README, and each picture from a page."""
    from_readme = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    shown = {(document.parent / target).resolve() for document in DOCUMENTS for target in links(document)}

    assert set((ROOT / "docs").glob("*.md")) - from_readme == set()
    assert set((ROOT / "docs" / "images").glob("*.svg")) - shown == set()


@EACH_DOCUMENT
def test_no_machine_is_named(document: Path) -> None:
    """No path of one machine and no package index is in a document; `/home/you` is no real one."""
    pattern = r"(?<![\w./])/(?:work|root|tmp|opt|mnt|Users|home/(?!you\b))[/\w]*|localhost:\d|pypi\.|pythonhosted"

    assert re.findall(pattern, read(document)) == []


def test_pictures_load_nothing() -> None:
    """A picture is complete in itself, and names no machine."""
    for picture in (ROOT / "docs" / "images").glob("*.svg"):
        text = read(picture).replace('xmlns="http://www.w3.org/2000/svg"', "")

        assert not re.search(r"https?://|href|@import|/(?:work|root|tmp|home)/", text), picture.name


def test_picture_of_the_demo_shows_todays_demo() -> None:
    """The demo's picture has the headings that the demo prints; if not, make it again."""
    titles = [text for text in source_texts() if re.match(r"\d\. [A-Z]", text)]
    shown = read(ROOT / "docs" / "images" / "demo.svg").replace("&#160;", " ").replace("&#x27;", "'")

    assert len(titles) == 5
    assert [title for title in titles if title not in shown] == []
