"""The documents and the code say the same: each compared with the other, in both directions where both are lists."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import re
import shlex
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from benchmarks.__main__ import benchmark
from server import __version__
from server.backtest_server import BacktestRequest, BacktestResult, JobState
from server.cli import BAD_USE, FAILURE, INTERRUPTED, cli
from server.core.errors import BacktestServerError, NotFoundError
from server.core.json import to_json
from server.core.secret import Secret
from server.data_download import workers
from server.data_download.availability import ASK_AGAIN_AFTER, DayState
from server.data_download.report import DownloadReport
from server.engines.base import EngineResult
from server.engines.lean_cli import TIME_LIMIT
from server.jobs.queue import MAX_RUNNING
from server.lean.series import Resolution
from server.plugins import hookspecs
from server.plugins.hookspecs import ProviderSpec
from server.plugins.manager import BUILT_IN
from server.plugins.polygon_provider import provider
from server.plugins.polygon_provider.budget import FREE_PLAN
from server.plugins.polygon_provider.client import EXPIRE_AFTER
from server.plugins.polygon_provider.config import MAX_CONCURRENT_REQUESTS, PolygonConfig
from server.plugins.polygon_provider.transport import UNREACHED_ATTEMPTS
from server.plugins.polygon_provider.windows import LIMIT, MAX_MINUTE_SESSIONS, MINUTES_PER_SESSION
from server.settings.core import CORE_SETTINGS, RESERVED_VARIABLES, STATE_FOLDER, load_settings
from server.trading_calendar import FIRST_DAY, POST_MARKET_CLOSE, SETTLE_DELAY

ROOT = Path(__file__).parents[3]
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

OPTIONS_OF_OTHERS = {
    "lean": {"--output", "--no-update", "--data-provider-historical", "--parameter", "--polygon-license-type"},
    "pip": {"--upgrade"},
    "pytest": {"--record"},
    "ruff": {"--check"},
}
VARIABLES_OF_OTHERS = {"LEAN_SAMPLE_DATA"}

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"\b(?:BACKTEST_SERVER|POLYGON|MASSIVE|LEAN|USE_POLYGON)_[A-Z0-9_]+\b")


# --- reading documents ---


@cache
def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def page(name: str) -> str:
    return read(ROOT / "docs" / name)


def without_blocks(text: str) -> str:
    return _FENCED.sub("", text)


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
    """What stands in code letters in the first column of the tables."""
    return [name for cells in rows(text) for name in _INLINE.findall(cells[0])]


def one_line(text: str) -> str:
    return " ".join(text.split())


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


# --- commands and options ---


def options_of(command: click.Command) -> set[str]:
    return {name for param in command.params for name in param.opts if name.startswith("--")}


def all_options() -> set[str]:
    return {"--help", "--version"}.union(*map(options_of, (*cli.commands.values(), benchmark)))


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_is_documented(name: str) -> None:
    """A command stands in the README's list, and has a heading of its own among the commands."""
    assert f"`backtest-server {name}`" in read(ROOT / "README.md")
    assert f"\n### {name}\n" in section(page("data-download.md"), "## Commands")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_option_is_documented(name: str) -> None:
    """An option stands in the command's own section, or among those that all commands share."""
    commands = section(page("data-download.md"), "## Commands")
    shared = commands.partition("\n### ")[0]
    documented = _INLINE.findall(shared + section(commands, f"### {name}"))

    assert options_of(cli.commands[name]) - set(documented) == set()


@EACH_DOCUMENT
def test_each_option_named_exists(document: Path) -> None:
    """Whatever looks like an option in code letters is one of ours, or is known to be another program's."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(_INLINE.findall(without_blocks(read(document))))))

    assert named - all_options() - set().union(*OPTIONS_OF_OTHERS.values()) == set()


def command_lines(document: Path) -> list[str]:
    """The lines of fenced blocks that call the product."""
    lines = [line.strip() for _, _, block in _FENCED.findall(read(document)) for line in block.splitlines()]
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
        for code in _INLINE.findall(without_blocks(read(document)))
        if len(words := code.split()) > 1 and words[0] == "backtest-server" and not words[1].startswith("-")
    }

    assert named - set(cli.commands) == set()


# --- settings ---


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


def test_each_setting_of_the_server_is_documented() -> None:
    """The table of the server's settings has each one, with its variable and its flag, and no other."""
    table = list(rows(section(page("configuration.md"), "## The server's settings")))

    for setting in CORE_SETTINGS:
        (row,) = (" | ".join(cells) for cells in table if f"`{setting.name}`" in cells[0])
        assert f"`{setting.env[0]}`" in row
        assert setting.flag is None or f"`--{setting.flag}`" in row
    assert {name for cells in table for name in _INLINE.findall(cells[0])} == {
        "providers",
        *(setting.name for setting in CORE_SETTINGS),
    }
    assert {cells[1] for cells in table if not cells[0]} == {f"`{variable}`" for variable in RESERVED_VARIABLES}


@pytest.mark.parametrize("spec", built_in_providers(), ids=lambda spec: spec.name)
def test_each_setting_of_a_provider_is_documented(spec: ProviderSpec) -> None:
    """The provider's table has each setting with its variables, its key at the top and its default, and no other."""
    table = {cells[0]: cells for cells in rows(section(page("configuration.md"), f"## The provider `{spec.name}`"))}

    assert sorted(table) == sorted(f"`{name}`" for name in settings_of(spec.config_class))
    for name, field in settings_of(spec.config_class).items():
        _, top, variables, default, _ = table[f"`{name}`"]
        assert _INLINE.findall(variables) == list(field.metadata["env"])
        assert _INLINE.findall(top) == ([field.metadata["lean"]] if field.metadata["lean"] else [])
        if field.default is not None and not isinstance(field.default, Secret):
            assert default.strip("`") == str(field.default).removesuffix(".0")


def test_settings_in_the_readme_exist() -> None:
    """The README's table names settings and variables that there are, each with its own variable."""
    table = list(rows(section(read(ROOT / "README.md"), "## Settings")))
    variables = {setting.name: {*setting.env} for setting in CORE_SETTINGS}
    for spec in built_in_providers():
        for name, field in settings_of(spec.config_class).items():
            for key in filter(None, (name, field.metadata["lean"])):
                variables.setdefault(key, set()).update(field.metadata["env"])

    assert len(table) >= 8
    for name, named, *_ in table:
        assert set(_INLINE.findall(named)) == variables[name.strip("`")]


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
        for _, language, block in _FENCED.findall(read(document))
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


# --- hooks ---


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


# --- what programs read ---


def report() -> DownloadReport:
    instant = datetime(2024, 1, 2, tzinfo=UTC)
    return DownloadReport(
        provider="polygon",
        resolution=Resolution.DAILY,
        symbols=("SPY",),
        start=date(2024, 1, 2),
        end=date(2024, 1, 2),
        **dict.fromkeys(("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed"), 0),
        **dict.fromkeys(("api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"), 0),
        started_at=instant,
        finished_at=instant,
        duration_s=0.0,
    )


def test_json_of_a_download_is_documented() -> None:
    """The table has each key of `download --json`, and no other."""
    documented = first_column(section(page("data-download.md"), "### download"))

    assert sorted(name for name in documented if not name.startswith("--")) == sorted(to_json(report()))


def test_json_of_a_backtest_is_documented() -> None:
    """The table has each key of `backtest --json`, and no other; the engine's keys and the states stand beside them."""
    text = section(page("data-download.md"), "### backtest")
    instant = datetime(2024, 1, 2, tzinfo=UTC)
    result = EngineResult(
        engine="smoke",
        summary=(),
        statistics={},
        bars=0,
        days=0,
        started_at=instant,
        finished_at=instant,
        duration_s=0.0,
    )

    assert sorted(first_column(text)) == sorted(to_json(BacktestResult.of(BacktestRequest())))
    assert set(to_json(result)) - set(_INLINE.findall(text)) == set()
    passing = {JobState.QUEUED, JobState.RUNNING}
    assert {state.value for state in set(JobState) - passing} - set(_INLINE.findall(text)) == set()


def test_exit_codes_are_documented() -> None:
    """The table has the codes that a process ends with."""
    table = section(page("data-download.md"), "### Exit codes")

    assert [cells[0] for cells in rows(table) if cells[0].isdigit()] == [
        "0",
        *map(str, (FAILURE, BAD_USE, INTERRUPTED)),
    ]


def test_error_codes_are_documented() -> None:
    """The table has the word of each kind of error that a command may end with, and no other; the server has more."""

    def kinds(root: type[BacktestServerError]) -> Iterator[type[BacktestServerError]]:
        yield root
        for kind in root.__subclasses__():
            yield from kinds(kind)

    documented = first_column(section(page("data-download.md"), "### Exit codes"))

    ours = {kind.code for kind in kinds(BacktestServerError) if kind.__module__.startswith("server.")}
    assert sorted(documented) == sorted(ours - {BacktestServerError.code, NotFoundError.code})


def test_states_of_a_day_are_documented() -> None:
    """The table has each state that `coverage` shows, and no other."""
    documented = [cells[0] for cells in rows(section(page("data-download.md"), "## What a day can be"))]

    assert sorted(documented) == sorted(state.value for state in DayState)


def test_numbers_are_those_of_the_code() -> None:
    """A number in the text that stands for a constant has the constant's value."""
    text = one_line(page("data-download.md"))
    two, seven, thirty = (wait.days for wait in ASK_AGAIN_AFTER)
    settled = datetime.combine(date(2024, 1, 2), POST_MARKET_CLOSE) + SETTLE_DELAY
    defaults = settings_of(PolygonConfig)

    assert f"again after {two} days, {seven} days after that, {thirty} days after that" in text
    assert f"**Settled** is a day at {settled:%H:%M} in New York" in text
    assert f"Polygon's responses with bars of the last {EXPIRE_AFTER // timedelta(days=1)} days" in text
    assert f"at most {MAX_MINUTE_SESSIONS} sessions" in text
    assert f"sessions of {MINUTES_PER_SESSION} minutes fit the {LIMIT:,} bars" in text
    assert f"(`requests-per-minute`, {FREE_PLAN} on the free plan)" in text
    assert f"`retry-attempts` ({defaults['retry-attempts'].default}) times" in text
    assert f"for `retry-seconds` ({defaults['retry-seconds'].default:g}) in all" in text
    assert "At most five requests are in flight" in text
    assert MAX_CONCURRENT_REQUESTS == 5
    assert f"An address that cannot be reached is tried {UNREACHED_ATTEMPTS} times" in text
    assert f"since {FIRST_DAY}" in text
    assert f"It ran for {TIME_LIMIT / 3600:g} hours" in page("lean_unix_run.md")
    assert (provider._WAITING, workers._MOST, workers._TASKS_EACH, MAX_RUNNING) == (8, 4, 4, 2)
    architecture = one_line(page("architecture.md"))
    assert "for each response that can be worked on at once, and eight more" in architecture
    assert "one more than there are cores, at most four, and at least four windows for each" in architecture
    assert "runs two jobs at once" in page("architecture.md")


# --- messages and files ---


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


def messages() -> list[str]:
    return first_column(section(page("lean_unix_run.md"), "## Troubleshooting"))


@pytest.mark.parametrize("message", messages())
def test_each_message_of_the_troubleshooting_exists(message: str) -> None:
    """The words of a message that is explained stand in the code."""
    parts = [part.strip() for part in message.split("…") if len(part.strip(" ;,:(")) > 3]

    assert parts
    for part in parts:
        assert any(part in text for text in source_texts()), part


def test_files_of_the_state_folder_exist() -> None:
    """What is said to lie in the state folder is named in the code."""
    text = section(page("data-download.md"), "## What is kept where")
    names = [name.partition("*")[0].rstrip("/") for name in first_column(text)]

    assert f"`{STATE_FOLDER}`" in text
    assert len(names) >= 6
    for name in names:
        assert any(name in known for known in source_texts()), name


def test_parameters_for_the_algorithm_are_documented() -> None:
    """The parameters that LEAN is given are those of the table, and the example project reads them."""
    documented = [name for name in first_column(section(page("lean_unix_run.md"), "## A backtest")) if "-" in name]
    given = [text for text in dict.fromkeys(source_texts()) if re.fullmatch(r"backtest-[a-z]+", text)]
    example = read(ROOT / "examples" / "ZacQC" / "main.py")

    assert sorted(documented) == sorted(set(given) - {"backtest-server"})
    assert all(f'"{name}"' in example for name in documented)


def test_each_package_has_its_line_in_the_architecture() -> None:
    """The tree has each package of the product and each module beside them, and no other."""
    (tree,) = (block for _, language, block in _FENCED.findall(page("architecture.md")) if "__main__.py  " in block)
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
        "## Extra `calendar`": config["options.extras_require"]["calendar"],
        "## For tests": config["options.extras_require"]["test"],
        "## For benchmarks": config["options.extras_require"]["bench"],
    }
    for heading, wanted in kinds.items():
        table = list(rows(section(page("dependencies.md"), heading)))

        names = re.findall(r"^[A-Za-z0-9_.-]+", wanted.strip(), re.MULTILINE)
        assert [cells[0].strip("`") for cells in table] == [name for name in names if name != "backtest-server"]
        assert all(why and licence for _, _, why, licence, *_ in table)


# --- every document ---


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


def links(document: Path) -> Iterable[str]:
    found = _LINK.findall(without_blocks(read(document)))
    return [target for target in found if not target.startswith(("https://", "http://"))]


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


def test_changelog_has_this_version() -> None:
    """The version that is installed has its heading in the changelog."""
    assert f"\n## [{__version__}] - " in read(ROOT / "CHANGELOG.md")
