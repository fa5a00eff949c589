"""What the HTTP API says of the data, the settings and the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.api_market import BODY, DAYS, MARKET, Serve
from tests.support.polygon_server import KEY
from tests.support.served import Served


def test_coverage_and_bars(served: Served) -> None:
    """Each trading day's state, and a day's bars as they are on disk."""
    served.ended(served.post("/api/downloads", {**BODY, "end": "2024-06-05"})["url"])
    asked = {"symbol": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-09"}

    coverage = served.get("/api/coverage", **asked)
    assert coverage["symbols"]["SPY"]["counts"] == {"present": 3, "missing": 2}
    assert coverage["symbols"]["SPY"]["days"]["2024-06-06"] == "missing"
    assert coverage["symbols"]["AAPL"]["counts"] == {"missing": 5}
    assert served.get("/api/symbols", resolution="minute") == {"symbols": ["SPY"]}

    bars = served.get("/api/bars/SPY", resolution="minute", start="2024-06-03", end="2024-06-03")
    series = MARKET["SPY", "minute"]
    assert bars["bars_total"] == 60
    assert bars["close"] == pytest.approx(list(series.c[:60]))
    assert bars["time"] == list(series.t[:60])
    assert (bars["mode"], bars["extended_hours"], bars["events"], bars["losses"]) == ("raw", True, [], [])

    assert (
        "mode"
        in served.get("/api/bars/SPY", 422, resolution="minute", start=DAYS[0], end=DAYS[0], mode="back")["error"][
            "message"
        ]
    )


def test_coverage_carries_factor_and_map_files(served: Served) -> None:
    """Events of the range with their ex-dates, counts of the whole file, and each ticker's days."""
    usa = served.folder / "data/equity/usa"
    for folder, text in (
        ("factor_files", "20200102,0.49,0.5,1\n20240604,0.49,0.5,100\n20240611,0.98,1,50\n20501231,1,1,0\n"),
        ("map_files", "20200102,old,P\n20240603,old,P\n20501231,spy,P\n"),
    ):
        (usa / folder).mkdir(parents=True)
        (usa / folder / "spy.csv").write_text(text)
    asked = {"symbol": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-09"}

    found = served.get("/api/coverage", **asked)["symbols"]

    assert found["SPY"]["factor_file"] == {
        "first_day": "2020-01-02",
        "last_event": "2024-06-12",
        "splits": 1,
        "dividends": 2,
        "events": [{"day": "2024-06-05", "dividend": 50.0, "split": "2:1"}],
        "damaged": None,
    }
    assert found["SPY"]["map_file"] == {
        "tickers": [
            {"ticker": "OLD", "first_day": "2020-01-02", "last_day": "2024-06-03"},
            {"ticker": "SPY", "first_day": "2024-06-04", "last_day": None},
        ],
        "delisted": None,
        "damaged": None,
    }
    assert (found["AAPL"]["factor_file"], found["AAPL"]["map_file"]) == (None, None)
    (usa / "factor_files/spy.csv").write_text("rubbish")
    assert "'rubbish' is not a row" in served.get("/api/coverage", **asked)["symbols"]["SPY"]["factor_file"]["damaged"]


def test_bars_are_thinned_honestly(served: Served) -> None:
    """A point has the first open, highest high, lowest low, last close and all volume of its bars."""
    served.ended(served.post("/api/downloads", BODY)["url"])

    thin = served.get("/api/bars/SPY", resolution="minute", start="2024-06-03", end="2024-06-07", points=30)

    size, series = thin["bars_per_point"], MARKET["SPY", "minute"]
    assert size == 10
    assert len(thin["time"]) == 30
    assert thin["open"][1] == pytest.approx(series.o[10])
    assert thin["high"][1] == pytest.approx(max(series.h[10:20]))
    assert thin["low"][1] == pytest.approx(min(series.l[10:20]))
    assert thin["close"][1] == pytest.approx(series.c[19])
    assert sum(thin["volume"]) == pytest.approx(sum(series.v))


def test_calendar_projects_and_providers(polygon_server: Serve, serve: Callable[..., Served], tmp_path: Path) -> None:
    """What the pages' forms need."""
    project = tmp_path / "projects" / "Mine"
    (project / "config").mkdir(parents=True)
    (project / "main.py").write_text("")
    (project / "config" / "parameters.py").write_text('symbols = ["SPY"]\nstart = "2024-06-03"\nend = "2024-06-07"\n')
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "main.py").write_text("")
    (tmp_path / "projects" / "link").symlink_to(outside)
    served = serve(polygon_server(MARKET).url, "--projects", "projects")

    calendar = served.get("/api/calendar", start="2024-06-01", end="2024-06-09")
    assert calendar["sessions"] == [day.isoformat() for day in DAYS]
    projects = served.get("/api/projects")["projects"]
    assert [(found["name"], found["symbols"]) for found in projects] == [("Mine", ["SPY"])]
    providers = served.get("/api/providers")
    assert providers["chosen"] == "polygon"
    secret = {one["setting"]: one["value"] for one in providers["providers"][-1]["settings"]}
    assert KEY not in json.dumps(providers)
    assert "set" in secret.values()

    job = served.ended(served.post("/api/backtests", {"project": "Mine", "resolution": "daily"})["url"])
    assert (job["state"], job["request"]["project"]) == ("completed", "Mine")
    for name in ("link", "../outside", str(outside), "Mine/../../outside", "nothing"):
        assert served.post("/api/backtests", {"project": name}, status=422)["error"]["code"] == "configuration"


def test_health(served: Served) -> None:
    """It says what it looked at."""
    assert served.get("/health")["ok"] is True
