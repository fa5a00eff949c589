"""docs/lean_unix_run.md: its messages and parameters are those of the code."""

from __future__ import annotations

import re

import pytest

from tests.support.documents import (
    ROOT,
    first_column,
    page,
    read,
    section,
    source_texts,
)


def messages() -> list[str]:
    return first_column(section(page("lean_unix_run.md"), "## Troubleshooting"))


@pytest.mark.parametrize("message", messages())
def test_each_message_of_the_troubleshooting_exists(message: str) -> None:
    """The words of a message that is explained stand in the code."""
    parts = [part.strip() for part in message.split("…") if len(part.strip(" ;,:(")) > 3]

    assert parts
    for part in parts:
        assert any(part in text for text in source_texts()), part


def test_parameters_for_the_algorithm_are_documented() -> None:
    """The parameters that LEAN is given are those of the table, and the example project reads them."""
    documented = [name for name in first_column(section(page("lean_unix_run.md"), "## A backtest")) if "-" in name]
    given = [text for text in dict.fromkeys(source_texts()) if re.fullmatch(r"backtest-[a-z]+", text)]
    example = read(ROOT / "examples" / "ZacQC" / "main.py")

    assert sorted(documented) == sorted(set(given) - {"backtest-server", "backtest-name"})  # a key of LEAN's config
    assert all(f'"{name}"' in example for name in documented)
