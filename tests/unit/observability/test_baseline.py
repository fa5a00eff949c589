"""Expected download times, computed from saved reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.core.errors import ConfigurationError
from server.lean.series import Resolution
from server.observability.baseline import Baseline
from server.observability.metrics import Metrics
from tests.support.metrics import INSTALLED, report, samples, value

REPORTS = """
{"provider": "polygon", "resolution": "minute", "days_downloaded": 10, "days_failed": 0, "duration_s": 1.5,
 "fallback": null, "cancelled": false, "symbols": ["SPY"]}
{"provider": "polygon", "resolution": "minute", "days_downloaded": 110, "days_failed": 0, "duration_s": 6.5,
 "fallback": null, "cancelled": false}
"""


def write_reports(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_baseline_adds_up_expected_seconds(tmp_path: Path) -> None:
    """Reports of two sizes give one second for the download and 0.05 seconds for each day."""
    metrics = Metrics(providers=INSTALLED, baseline=Baseline.read(write_reports(tmp_path / "kept.jsonl", REPORTS)))

    assert value(metrics, "baseline_download_seconds_total", provider="polygon", resolution="minute") == 0
    metrics.download_finished(report(days_requested=20, days_downloaded=20, api_calls=1))
    metrics.download_finished(report(days_requested=5, days_failed=5))
    metrics.download_finished(report(days_requested=5, days_present=5))
    metrics.download_finished(report(resolution=Resolution.DAILY, days_requested=5, days_downloaded=5))

    assert samples(metrics)["backtest_server_baseline_download_seconds_total"] == {
        frozenset({("provider", "polygon"), ("resolution", "minute")}): pytest.approx(2.0)
    }


@pytest.mark.parametrize(
    ("points", "seconds"),
    [
        ([(10, 2.0)], 4.0),
        ([(10, 2.0), (10, 4.0)], 6.0),
        ([(10, 4.0), (30, 2.0)], 3.0),
        ([(10, 1.0), (20, 4.0)], 20 * 90 / 500),
    ],
    ids=["one", "one size", "larger was faster", "less than nothing for the download itself"],
)
def test_no_part_of_a_cost_is_below_zero(tmp_path: Path, points: list[tuple[int, float]], seconds: float) -> None:
    """The expected time of twenty days is plausible for any reports: neither part of the cost is negative."""
    line = (
        '{{"provider": "polygon", "resolution": "minute", "days_downloaded": {}, "days_failed": 0, "duration_s": {}, '
        '"fallback": null, "cancelled": false}}\n'
    )
    text = "".join(line.format(*point) for point in points)

    found = Baseline.read(write_reports(tmp_path / "kept.jsonl", text))

    assert found.seconds(report(days_downloaded=20)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "holds no download that fetched all it asked for"),
        ("not JSON", "does not hold what backtest-server download --json prints"),
        ('{"provider": "polygon"}', "does not hold what backtest-server download --json prints"),
        (REPORTS.replace('"fallback": null', '"fallback": "lean-cli"'), "holds no download"),
        (REPORTS.replace('"days_failed": 0', '"days_failed": 1'), "holds no download"),
        (REPORTS.replace('"cancelled": false', '"cancelled": true'), "holds no download"),
        (REPORTS.replace('"days_downloaded": 1', '"days_downloaded": 0, "bars": 1'), "holds no download"),
    ],
)
def test_a_baseline_without_complete_downloads_is_an_error(tmp_path: Path, text: str | None, words: str) -> None:
    """A file without usable reports is an error that names it."""
    path = tmp_path / "kept.jsonl"
    if text is not None:
        write_reports(path, text)

    with pytest.raises(ConfigurationError, match=words) as caught:
        Baseline.read(path)

    assert str(path) in str(caught.value)
