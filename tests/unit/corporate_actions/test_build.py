"""The loop over symbols, and the notice about zips."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.corporate_actions.build import map_after_first, zip_notice
from server.data_download.report import CorporateFiles

WRITTEN = CorporateFiles(symbol="X", factor_file="written", map_file="unchanged")


def test_results_are_in_order_and_the_first_is_computed_alone() -> None:
    """No other symbol is begun before the first result was taken."""
    begun: list[str] = []

    def lower(symbol: str) -> str:
        begun.append(symbol)
        return symbol.lower()

    results = map_after_first(lower, ["A", "B", "C", "D"])

    assert (next(results), begun) == ("a", ["A"])
    assert list(results) == ["b", "c", "d"]
    assert sorted(begun) == ["A", "B", "C", "D"]
    assert list(map_after_first(lower, [])) == []


@pytest.mark.parametrize("name", ["factor_files/factor_files_20240102.zip", "map_files/map_files_20240102.zip"])
def test_zips_are_reported_if_files_were_written(tmp_path: Path, name: str) -> None:
    """Other zips, and runs that wrote nothing, give no notice."""
    path = tmp_path / "equity/usa" / name
    path.parent.mkdir(parents=True)
    path.with_name("other.zip").touch()
    assert zip_notice(tmp_path, [WRITTEN]) is None
    path.touch()

    assert str(path) in (zip_notice(tmp_path, [CorporateFiles(symbol="Y"), WRITTEN]) or "")
    assert zip_notice(tmp_path, [CorporateFiles(symbol="Y", factor_file="kept", map_file="unchanged")]) is None
