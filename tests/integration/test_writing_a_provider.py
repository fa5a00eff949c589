"""docs/writing-a-provider.md is followed to the letter: its files, its commands, its output."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import backtest_server_api
import backtest_server_api.testing

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "writing-a-provider.md"

_FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = re.compile(r"\d+\.\d+ s\b")


def named_blocks() -> dict[str, str]:
    """The document's files: each code block that follows a line with a file's name."""
    return dict(_FILE.findall(DOCUMENT.read_text(encoding="utf-8")))


def documented_commands() -> list[tuple[str, list[str]]]:
    """The commands of the document's console blocks, and the lines that it says they print."""
    commands: list[tuple[str, list[str]]] = []
    for block in _CONSOLE.findall(DOCUMENT.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(line)
    return commands


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the document's files in it."""
    folder = tmp_path_factory.mktemp("provider")
    for name, content in named_blocks().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Path:
    """The Python of a new virtual environment in which this project and the document's package are installed.

    Everything else it borrows from the environment that runs the tests, so nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("environment")
    project = folder / "project"
    project.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    for name in ("server", "backtest_server_api"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = folder / "wheels"
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *build_options()),
        *("--wheel-dir", str(wheels), str(project), str(package)),
        cwd=folder,
    )
    environment = folder / "venv"
    venv.create(environment, with_pip=False)
    paths = sysconfig.get_paths("venv", {"base": str(environment), "platbase": str(environment)})
    python = Path(paths["scripts"]) / Path(sys.executable).name
    names = [str(path) for path in wheels.iterdir()]
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, *names, cwd=folder)
    borrowed = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (Path(paths["purelib"]) / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    return python


def build_options() -> list[str]:
    """Build with the setuptools of this environment; where these are missing or too old, pip fetches them."""
    try:
        version = metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        return []
    return ["--no-build-isolation"] if int(version.partition(".")[0]) >= 77 else []


def run(*command: str, cwd: Path) -> str:
    """Run a command that has to succeed; gives what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_package_is_installed_beside_the_product(python: Path, package: Path) -> None:
    """What is installed is a copy, neither the folder the package was written in nor this checkout."""
    where = run(
        *(str(python), "-c", "import server, backtest_csv_folder as b; print(server.__file__, b.__file__)"),
        cwd=package.parent,
    ).split()

    assert [Path(path).is_relative_to(python.parents[1]) for path in where] == [True, True]


def test_documented_commands_do_what_the_document_says(python: Path, package: Path) -> None:
    """Each backtest-server command of the document prints the lines that stand there (time aside), in order."""
    commands = [(line, shown) for line, shown in documented_commands() if line.startswith("backtest-server ")]
    assert [line.split()[1] for line, _ in commands] == ["providers", "download"]

    for line, shown in commands:
        printed = run(str(python.parent / "backtest-server"), *line.split()[1:], cwd=package)

        expected = [_SECONDS.sub("0 s", wanted) for wanted in shown]
        lines = [text.rstrip() for text in _SECONDS.sub("0 s", printed).splitlines()]
        assert [text for text in lines if text in expected] == expected, printed


def test_the_host_finds_the_documents_corporate_actions(python: Path, package: Path) -> None:
    """The installed plugin's source is made by the host's own means, and reads the document's kind of file."""
    (package / "bars" / "AAPL-actions.csv").write_text("ex_date,kind,first,second\n2020-08-31,split,1,4\n")
    program = (
        "from pathlib import Path\n"
        "from server.plugins.manager import build_plugin_manager\n"
        "spec = build_plugin_manager().providers['csv-folder'].spec\n"
        "source = spec.corporate_actions(spec.config_class(folder=Path('bars')), None, None)\n"
        "print(source.events('AAPL').splits[0].factor, source.renames('AAPL').changes, source.listing('AAPL'))\n"
        "source.close()\n"
    )

    assert run(str(python), "-c", program, cwd=package).strip() == "1/4 () None"


def test_files_read_back_with_the_values_of_the_csv(python: Path, package: Path) -> None:
    """LEAN's zips are there, and hold the document's rows; a second run finds nothing missing."""
    download = documented_commands()[-1][0].split()[1:]
    run(str(python.parent / "backtest-server"), *download, cwd=package)
    folder = package / "data" / "equity" / "usa" / "minute" / "spy"

    found = {path.name: rows_of(path) for path in sorted(folder.iterdir())}

    assert found == {
        "20240102_trade.zip": [
            "34200000,4721600,4726000,4720100,4723100,1204500",
            "34260000,4723100,4723450,4720000,4720550,310220.5",
        ],
        "20240103_trade.zip": ["57600000,4687900,4688000,4687000,4687500,90100"],
    }
    document = DOCUMENT.read_text(encoding="utf-8")
    assert all(row in document for row in found["20240102_trade.zip"])
    report = json.loads(run(str(python.parent / "backtest-server"), *download, "--json", cwd=package))
    assert (report["days_present"], report["days_downloaded"]) == (2, 0)


def test_days_outside_the_file_are_missing_and_not_empty(python: Path, package: Path, tmp_path: Path) -> None:
    """The document's provider keeps the rule that days it cannot know about are unavailable."""
    command = (str(python.parent / "backtest-server"), "download", "SPY", "--resolution", "minute")
    done = subprocess.run(
        (*command, "--start", "2024-01-03", "--end", "2024-01-04", "--data-folder", str(tmp_path / "data")),
        cwd=package,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "1 downloaded, 0 without bars, 1 failed" in done.stdout
    assert "ends before or begins after them [SPY: 2024-01-04]" in done.stderr


def test_documented_test_passes(python: Path, package: Path, tmp_path: Path) -> None:
    """The test that the document shows passes against the installed package."""
    shutil.copy(package / "test_backtest_csv_folder.py", tmp_path)

    printed = run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), cwd=tmp_path)

    assert "7 passed" in printed


def test_the_document_imports_what_the_contract_exports() -> None:
    """From one module and the one for tests, and nothing from `server`."""
    modules = {"backtest_server_api": backtest_server_api, "backtest_server_api.testing": backtest_server_api.testing}
    seen = set()
    for block in _PYTHON.findall(DOCUMENT.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
                "server",
                "backtest_server_api",
            ):
                seen.add(node.module)
                assert {alias.name for alias in node.names} <= set(modules[node.module or ""].__all__)
    assert seen == set(modules)


def test_importing_the_contract_is_cheap() -> None:
    """Every command imports each plugin's module, so the contract loads no library that takes time."""
    program = "import sys, backtest_server_api; print(*sorted(sys.modules))"
    loaded = run(sys.executable, "-c", program, cwd=ROOT).split()

    heavy = {"numpy", "pandas", "requests", "requests_cache", "urllib3", "sqlite3", "exchange_calendars", "asyncio"}
    assert heavy.intersection(loaded) == set()


def rows_of(path: Path) -> list[str]:
    """The rows of the one member of a zip, read by the standard library."""
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        assert name == path.name.replace("_trade.zip", "_spy_minute_trade.csv")
        return archive.read(name).decode("ascii").split("\n")
