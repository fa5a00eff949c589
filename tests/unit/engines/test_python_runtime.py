"""The shared library of an interpreter, by what interpreters of each kind report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.python_runtime import find_python, read_facts, shared_library

pytestmark = pytest.mark.skipif(os.name != "posix", reason="paths of POSIX")

BASE = {"version": "3.11.9", "abiflags": "", "MULTIARCH": None, "PYTHONFRAMEWORKPREFIX": "", "LIBDIR": "/usr/lib"}
KINDS = {
    "debian": (
        {"base_prefix": "/usr", "LIBDIR": "/usr/lib/x86_64-linux-gnu", "INSTSONAME": "libpython3.11.so.1.0"}
        | {"LDLIBRARY": "libpython3.11.so"},
        "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
    ),
    "debian, folder of the architecture": (
        {"base_prefix": "/usr", "MULTIARCH": "x86_64-linux-gnu", "INSTSONAME": "libpython3.11.so.1.0"},
        "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
    ),
    "pyenv": (
        {"base_prefix": "/h/.pyenv/versions/3.11.9", "LIBDIR": "/h/.pyenv/versions/3.11.9/lib"}
        | {"INSTSONAME": "libpython3.11.so.1.0", "LDLIBRARY": "libpython3.11.so"},
        "/h/.pyenv/versions/3.11.9/lib/libpython3.11.so.1.0",
    ),
    "conda": (
        {"base_prefix": "/h/conda/envs/lean", "LIBDIR": "/h/conda/envs/lean/lib", "LDLIBRARY": "libpython3.11.a"}
        | {"INSTSONAME": "libpython3.11.a"},
        "/h/conda/envs/lean/lib/libpython3.11.so",
    ),
    "relocated": (
        {"base_prefix": "/h/uv/cpython-3.11", "LIBDIR": "/install/lib", "INSTSONAME": "libpython3.11.so.1.0"},
        "/h/uv/cpython-3.11/lib/libpython3.11.so.1.0",
    ),
    "framework of macOS": (
        {"base_prefix": "/Library/Frameworks/Python.framework/Versions/3.11"}
        | {"PYTHONFRAMEWORKPREFIX": "/Library/Frameworks", "LDLIBRARY": "Python.framework/Versions/3.11/Python"},
        "/Library/Frameworks/Python.framework/Versions/3.11/Python",
    ),
    "conda of macOS": (
        {"base_prefix": "/h/conda", "LIBDIR": "/h/conda/lib", "LDLIBRARY": "libpython3.11.a"},
        "/h/conda/lib/libpython3.11.dylib",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_shared_library(kind: str) -> None:
    """It is found where it is, and a static build has none."""
    facts, path = KINDS[kind]

    assert shared_library(BASE | facts, lambda one: one == path) == Path(path)
    assert shared_library(BASE | facts, lambda one: one.endswith(".a")) is None


@given(st.text())
def test_facts_of_any_output(text: str) -> None:
    """Whatever an interpreter prints, it is read without an error."""
    read_facts(f"{text}\n@python {text}\n@python version {text}")


def test_facts_among_other_output() -> None:
    """Only the script's lines count; one that was cut off does not."""
    text = (
        'hello\n@python version "3.11.9"\n@python LIBDIR "/usr\n@python import numpy null\n@python import pandas "E: x"'
    )

    assert read_facts(text) == {"version": "3.11.9", "import numpy": None, "import pandas": "E: x"}


def test_find_python(tmp_path: Path) -> None:
    """An interpreter, a virtual environment or a conda environment; else the first python3 of the PATH."""
    program = tmp_path / "env" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "link").symlink_to(program)

    assert find_python(tmp_path / "env", {}).value == program
    assert find_python(program, {}).value == program
    assert find_python(tmp_path / "link", {}).value == tmp_path / "link"
    assert find_python(None, {"PATH": f"{tmp_path}:{program.parent}"}).value == program


@pytest.mark.parametrize(
    ("name", "problem"),
    [("absent", "does not exist"), ("empty", "no interpreter in it"), ("file", "not an interpreter")],
)
def test_no_python(tmp_path: Path, name: str, problem: str) -> None:
    """What is missing names the setting and its source; without a setting, the PATH."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")

    (lack,) = find_python(tmp_path / name, {}, source="flag --x").lacks
    assert problem in lack.what
    assert f"lean-python is {tmp_path / name} (flag --x)" in lack.what
    (lack,) = find_python(None, {"PATH": str(tmp_path)}).lacks
    assert lack.what == "there is no python3 on the PATH"
