"""Reads the JSON lines of the log, and isolates its global state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from server.observability import log_setup


def records(state_folder: Path) -> list[dict[str, Any]]:
    """The records of the log in this state folder."""
    path = state_folder / "logs" / "backtest-server.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(autouse=True)
def own_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an unconfigured logger and an empty set of secrets."""
    monkeypatch.setattr(log_setup, "masker", log_setup.Masker())
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
