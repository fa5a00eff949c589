"""The fixture that installs plugins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.plugin_package import write_plugin


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """``install(name, code)`` puts a plugin's distribution on sys.path and returns its module's name."""
    modules: list[str] = []

    def put(name: str, code: str, **more: Any) -> str:
        site, module = write_plugin(tmp_path, name, code, **more)
        monkeypatch.syspath_prepend(site)
        modules.append(module)
        return module

    yield put
    for module in modules:
        sys.modules.pop(module, None)
