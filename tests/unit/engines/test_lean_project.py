"""A LEAN project: language, algorithm, parameters and libraries."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import ConfigurationError
from server.core.secret import Secret
from server.engines.base import EngineRequest
from server.engines.lean_project import LeanProject, load_project, project_parameters, python_class, run_parameters
from server.lean.series import Resolution

PYTHON = "from AlgorithmImports import *\nclass Strategy(QCAlgorithm):\n    pass\n"
CSHARP = "namespace Shop { class Strategy : QCAlgorithm { } }"
KEY = "Abcdefgh12345678"


def write(folder: Path, **files: str) -> Path:
    """A folder with these files; a double underscore in a name is a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("/", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def load(path: Path, workspace: Path | None = None) -> LeanProject:
    return load_project(path, workspace)


@pytest.mark.parametrize("given_as", ["", "main.py"])
def test_python(tmp_path: Path, given_as: str) -> None:
    """A folder with main.py, or main.py itself."""
    folder = write(tmp_path / "Project", main__py=PYTHON)

    project = load(folder / given_as)

    assert (project.folder, project.language, project.source) == (folder, "Python", folder / "main.py")
    assert project.type_name == "Strategy"


@pytest.mark.parametrize("given_as", ["", "Main.cs", "Shop.csproj"])
def test_csharp(tmp_path: Path, given_as: str) -> None:
    """A folder with a .csproj, that file, or a source file; the class has its namespace."""
    folder = write(tmp_path / "Project", Main__cs=CSHARP, Shop__csproj="<Project/>")

    project = load(folder / given_as)

    assert (project.folder, project.language, project.source) == (folder, "CSharp", folder / "Shop.csproj")
    assert project.type_name == "Shop.Strategy"


def test_the_language_of_config_json_decides_between_both(tmp_path: Path) -> None:
    """A folder with main.py and a .csproj is Python unless its config.json says CSharp (as LEAN's CLI writes it)."""
    folder = write(tmp_path / "Project", main__py=PYTHON, Main__cs=CSHARP, Shop__csproj="<Project/>")

    assert load(folder).language == "Python"
    write(folder, config__json='{"algorithm-language": "CSharp"}')
    assert load(folder).language == "CSharp"


@pytest.mark.parametrize(
    ("files", "given_as", "text"),
    [
        ({}, "", "holds neither main.py nor a .csproj; name the folder of a LEAN project"),
        ({"Main__cs": CSHARP}, "", "has C# source and no .csproj, without which it cannot be built; write one"),
        ({"Main__cs": CSHARP}, "Main.cs", "has C# source and no .csproj"),
        ({"A__csproj": "", "B__csproj": ""}, "", "has several projects: A.csproj, B.csproj; name the one to run"),
        ({"notes__txt": ""}, "notes.txt", "is no LEAN project; name the folder"),
        ({"main__py": PYTHON, "config__json": "{"}, "", "config.json, line 1"),
        ({"main__py": PYTHON, "config__json": "[]"}, "", "config.json is not a JSON object"),
        ({"main__py": PYTHON, "config__json": '{"libraries": [{"name": 3}]}'}, "", "has an entry without a path"),
        ({"main__py": PYTHON, "config__json": '{"libraries": ["Library/No"]}'}, "", "the library Library/No of"),
    ],
)
def test_a_project_that_cannot_run_is_an_error(tmp_path: Path, files: dict[str, str], given_as: str, text: str) -> None:
    """The error is one line, names the file, and says what to do."""
    (tmp_path / "Project").mkdir()

    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path / "Project", **files) / given_as)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_project_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Also none at all."""
    with pytest.raises(ConfigurationError, match="there is no LEAN project at"):
        load(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="LEAN runs a project; name its folder, or choose the engine smoke"):
        load_project(None, None)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"Main.cs": CSHARP, "Other.cs": "namespace O { class Other : QCAlgorithm { } }"}, "Shop.Strategy"),
        ({"A.cs": "namespace O { class Other : QCAlgorithm { } class Shop : QCAlgorithm { } }"}, "O.Shop"),
        ({"Main.cs": "class Alone : QCAlgorithm { }"}, "Alone"),
        ({"Main.cs": "class NotFound : SomeBaseOfALibrary { }"}, "Shop"),
        ({"Main.cs": CSHARP, "obj/Old.cs": "namespace Shop { class Old : QCAlgorithm { } }"}, "Shop.Strategy"),
    ],
)
def test_the_class_of_csharp(tmp_path: Path, sources: dict[str, str], expected: str) -> None:
    """Of several that in Main.cs, or the one that is called like the project; folders of builds do not count."""
    folder = write(tmp_path / "Project", **sources, **{"Shop.csproj": "<Project/>"})

    assert load(folder).type_name == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("namespace O { class A : QCAlgorithm { } class B : QCAlgorithm { } }", "put the one to run into Main.cs"),
        ("class Shop : QCAlgorithm { } class B : QCAlgorithm { }", "put a namespace around Shop"),
    ],
)
def test_a_class_that_lean_would_not_find_is_an_error(tmp_path: Path, source: str, text: str) -> None:
    """LEAN finds one of several only by its namespace (csharp-type-not-found of the recorded runs)."""
    folder = write(tmp_path / "Project", **{"A.cs": source, "Shop.csproj": "<Project/>"})

    with pytest.raises(ConfigurationError, match=text):
        load(folder)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PYTHON, "Strategy"),
        ("import x\nclass Base(x.QCAlgorithm): pass\nclass Real(Base): pass", "Real"),
        ("class Model(AlphaModel): pass", None),
        ("class S(QCAlgorithm):\n  def (", None),
        ("\0", None),
        ("", None),
    ],
)
def test_the_class_of_python(source: str, expected: str | None) -> None:
    """The last class that derives from QCAlgorithm; LEAN reports a syntax error itself."""
    assert python_class(source) == expected


@given(st.text(max_size=200))
def test_any_python_source_is_read(text: str) -> None:
    """No text makes the search fail."""
    assert python_class(text) is None or python_class(text) in text


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ('{"name": "One", "path": "Library/One"}', "work/Library/One"),
        ('"Library/One"', "work/Library/One"),
        ('"Library\\\\One"', "work/Library/One"),
        ('{"path": "../Shared"}', "Shared"),
        ('"inside"', "work/Project/inside"),
    ],
)
def test_libraries(tmp_path: Path, entry: str, place: str) -> None:
    """Paths are relative to the folder of lean.json, as LEAN's CLI writes them, or to the project's folder."""
    (tmp_path / place).mkdir(parents=True)
    folder = write(tmp_path / "work" / "Project", main__py=PYTHON, config__json=f'{{"libraries": [{entry}]}}')

    assert load(folder, tmp_path / "work").libraries == (tmp_path / place,)


def test_parameters_are_texts() -> None:
    """LEAN passes texts on; what is not set is left out."""
    given_values = {"a": 1, "b": 0.5, "c": True, "d": "x y", "e": None, "f": [1, 2]}

    found = project_parameters({"parameters": given_values})

    assert found == {"a": "1", "b": "0.5", "c": "True", "d": "x y", "f": "[1, 2]"}
    assert project_parameters({}) == project_parameters({"parameters": 3}) == {}


def engine_request() -> EngineRequest:
    return EngineRequest(
        symbols=("SPY", "BRK.B"),
        resolution=Resolution.MINUTE,
        start=date(2024, 1, 8),
        end=date(2024, 1, 10),
        data_folder=Path("/data"),
        days=(),
    )


def test_those_of_the_request_come_last() -> None:
    """They replace the project's own of the same name."""
    found = run_parameters({"fast": "10", "backtest-start": "1999-01-01"}, engine_request())

    assert found == {
        "fast": "10",
        "backtest-symbols": "SPY,BRK.B",
        "backtest-resolution": "minute",
        "backtest-start": "2024-01-08",
        "backtest-end": "2024-01-10",
    }


@pytest.mark.parametrize("own", [{"polygon": KEY}, {"url": f"https://x/?apiKey={KEY}"}, {KEY: "1"}])
def test_a_parameter_with_the_key_is_an_error(own: dict[str, str]) -> None:
    """LEAN would write it into its results; the error does not show it."""
    with pytest.raises(ConfigurationError, match="holds a key; remove it") as caught:
        run_parameters(own, engine_request(), [Secret(KEY)])

    assert KEY not in str(caught.value)
