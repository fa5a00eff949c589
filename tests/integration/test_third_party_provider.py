"""A third-party plugin, found through its entry point, fails in every way: what a command then prints and leaves."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.support.command_line import ROOT, Answer
from tests.support.plugin_package import write_plugin

KEY = "k3y-of-acme"
PLUGIN = '''
"""Providers whose failures the environment scripts."""

import json
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
from attrs import frozen
from backtest_server_api import (
    Bars, Capabilities, Dividend, Events, Listing, Renames, Resolution, Secret, hookimpl, setting, ProviderSpec,
    to_json,
)


@frozen(kw_only=True)
class Config:
    api_key: Secret = setting(default=Secret(""), env=("ACME_KEY",))


@frozen(kw_only=True)
class OtherConfig:
    pass


def fail(where):
    if os.environ.get("ACME_FAILS") == where:
        if os.environ.get("ACME_EXITS"):
            sys.exit(0)
        raise LookupError(f"lost {os.environ.get('ACME_KEY')} in {where}")


class Provider:
    capabilities = Capabilities(resolutions=frozenset(Resolution))

    def plan(self, gaps):
        fail("plan")
        return ["GET /bars"]

    def fetch(self, gaps, sink):
        fail("fetch")
        with open("fetched.txt", "a") as file:
            file.write(f"{len(gaps)}\\n")
        for gap in gaps:
            midnight = np.array([day.toordinal() - 719_163 for day in gap.days], np.int64) * 86_400_000 + 5 * 3_600_000
            one = np.full(len(gap.days), 10.25)
            opening = 0 if gap.series.resolution is Resolution.DAILY else 34_200_000
            prices = dict(open=one, high=one, low=one, close=one)
            sink.bars(gap.series, gap.days, Bars(time=midnight + opening, volume=one, **prices))

    def close(self):
        fail("close")


class Broken(Provider):
    capabilities = {"minute"}


class Other(Provider):
    def fetch(self, gaps, sink):
        Path("other.txt").write_text("asked")
        super().fetch(gaps, sink) if os.environ.get("ACME_FAILS") != "fetch" else self.deliver(gaps, sink)

    def deliver(self, gaps, sink):
        os.environ["ACME_FAILS"] = ""
        super().fetch(gaps, sink)


class Source:
    def events(self, ticker):
        fail("events")
        if os.environ.get("ACME_FAILS") == "type":
            return []
        return Events(dividends=(Dividend(ex_date=date(2024, 1, 4), amount=Decimal("0.25")),))

    def renames(self, ticker):
        fail("renames")
        return Renames()

    def listing(self, ticker, on=None):
        fail("listing")
        return Listing(ticker=ticker, active=True, exchange="XNAS", listed=date(2024, 1, 2))

    def close(self):
        fail("close of source")


def create(config, context):
    fail("create")
    return Broken() if os.environ.get("ACME_FAILS") == "capabilities" else Provider()


def source(config, context, events):
    fail("source")
    return Source()


@hookimpl
def backtest_data_providers():
    return [
        ProviderSpec(name="acme", summary="a test's", config_class=Config, create=create,
                     check=lambda config: fail("check"), corporate_actions=source),
        ProviderSpec(name="other", summary="a test's", config_class=OtherConfig, create=lambda *_: Other()),
    ]


@hookimpl
def backtest_download_finished(report):
    Path("finished.json").write_text(json.dumps(to_json(report)))
'''


@frozen
class Installation:
    """A folder to run commands in, with the plugin on sys.path."""

    folder: Path
    site: Path

    def run(self, *arguments: str, descriptors: int | None = None, **variables: str) -> Answer:
        """Run a command as a process of its own, which may have this many files open."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors or 64, descriptors or 64))

        ended = subprocess.run(
            [sys.executable, "-m", "server", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{self.site}", "ACME_KEY": KEY, **variables},
            capture_output=True,
            text=True,
            timeout=100,
            preexec_fn=limit if descriptors else None,
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def download(self, *options: str, symbols: tuple[str, ...] = ("SPY",), **variables: Any) -> Answer:
        """Download two days."""
        days = ("--start", "2024-01-03", "--end", "2024-01-04")
        return self.run(
            "download", *symbols, "--resolution", "minute", *days, "--provider", "acme", *options, **variables
        )

    def text(self, name: str) -> str:
        """The text of a file in the folder, or nothing."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def log(self) -> str:
        """The whole log."""
        logs = (self.folder / "data" / ".backtest-server").rglob("*.jsonl")
        return "".join(path.read_text() for path in sorted(logs))


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """The plugin as pip would install it."""
    site, _ = write_plugin(tmp_path, "acme", PLUGIN, head="")
    (tmp_path / "data").mkdir()
    return Installation(tmp_path, site)


PLACES = ["check", "create", "capabilities", "fetch"]


@pytest.mark.parametrize("place", PLACES)
def test_a_failing_provider_ends_in_a_report(installation: Installation, place: str) -> None:
    """Exit code 1, JSON on stdout, one line on stderr that names it, hooks called, the key shown nowhere."""
    answer = installation.download("--json", ACME_FAILS=place)

    assert answer.code == 1
    report = json.loads(answer.out)
    assert (report["days_failed"], report["provider"]) == (2, "acme")
    assert report["failures"][0]["error"].startswith("the provider acme failed while ")
    assert json.loads(installation.text("finished.json")) == report
    (line,) = answer.errors
    assert line.startswith("error: the provider acme failed while ")
    for text in (answer.out, answer.err, installation.log(), installation.text("finished.json")):
        assert KEY not in text


def test_the_traceback_is_in_the_log(installation: Installation) -> None:
    """With the plugin's own lines, and the key masked."""
    installation.download(ACME_FAILS="fetch")

    records = [json.loads(line) for line in installation.log().splitlines()]
    (record,) = [record for record in records if "raised LookupError" in json.dumps(record)]
    text = json.dumps(record)
    assert "Traceback (most recent call last)" in text
    assert installation.site.name in text
    assert "lost **********" in text
    assert KEY not in text


@pytest.mark.parametrize("place", PLACES)
def test_the_fallback_brings_the_days(installation: Installation, place: str) -> None:
    """Of a provider that fails anywhere."""
    answer = installation.download(
        "--json", ACME_FAILS=place, BACKTEST_SERVER_FALLBACK_DATA_PROVIDER="other", ACME_EXITS="1"
    )

    report = json.loads(answer.out)
    assert (answer.code, report["days_downloaded"], report["fallback"]) == (0, 2, "other")
    assert installation.text("other.txt") == "asked"


@pytest.mark.parametrize("place", ["create", "fetch"])
def test_a_provider_that_exits_does_not_end_the_host(installation: Installation, place: str) -> None:
    """`sys.exit(0)` in a plugin is a failure with a report, and not a success without one."""
    answer = installation.download("--json", ACME_FAILS=place, ACME_EXITS="1")

    assert answer.code == 1
    assert json.loads(answer.out)["days_failed"] == 2


def test_a_close_that_fails_is_a_notice(installation: Installation) -> None:
    """The download is complete."""
    answer = installation.download("--json", ACME_FAILS="close")

    report = json.loads(answer.out)
    assert (answer.code, report["days_downloaded"]) == (0, 2)
    assert report["notices"][0].startswith("the provider acme failed while being closed (LookupError: lost ****")


@pytest.mark.parametrize("exits", ["", "1"])
def test_a_plan_that_fails_is_one_line(installation: Installation, exits: str) -> None:
    """In a dry run: exit code 1, and nothing is written."""
    answer = installation.download("--dry-run", ACME_FAILS="plan", ACME_EXITS=exits)

    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.errors
    assert line.startswith("error: the provider acme failed while planning (")
    assert KEY not in answer.err


# --- corporate actions ---

SOURCE_PLACES = ["source", "events", "renames", "listing", "type"]


@pytest.mark.parametrize(("place", "exits"), [*((place, "") for place in SOURCE_PLACES), ("events", "1")])
def test_a_failing_source_does_not_spoil_a_download(installation: Installation, place: str, exits: str) -> None:
    """The bars are there; the report says that the files are not, and why."""
    answer = installation.download(
        "--json", ACME_FAILS=place, ACME_EXITS=exits, BACKTEST_SERVER_CORPORATE_ACTIONS="auto"
    )

    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    (files,) = report["corporate_actions"]
    assert (report["days_downloaded"], files["factor_file"], files["map_file"]) == (2, "none", "none")
    assert "the provider acme failed while " in files["notices"][0]
    assert KEY not in answer.out + answer.err + installation.log()


@pytest.mark.parametrize("place", ["source", "events", "type"])
def test_factor_files_name_the_failing_source(installation: Installation, place: str) -> None:
    """One line and exit code 1."""
    answer = installation.run("factor-files", "SPY", "--provider", "acme", "--json", ACME_FAILS=place)

    assert answer.code == 1
    assert any("the provider acme failed while " in line for line in answer.errors), answer.err
    assert KEY not in answer.out + answer.err + installation.log()


def test_a_source_whose_close_fails_has_made_its_files(installation: Installation) -> None:
    """The files are there, and a notice says what failed."""
    answer = installation.download("--json", ACME_FAILS="close of source", BACKTEST_SERVER_CORPORATE_ACTIONS="auto")

    report = json.loads(answer.out)
    assert answer.code == 0
    assert report["corporate_actions"][0]["factor_file"] == "written"
    assert any("acme failed while being closed" in notice for notice in report["notices"])


# --- locks ---


def test_many_series_are_fetched_with_few_file_descriptors(installation: Installation) -> None:
    """101 symbols where a process may open 64 files: 8 locks at a time, an eighth of the limit."""
    symbols = tuple(f"A{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(101))

    answer = installation.download("--json", symbols=symbols, descriptors=64)

    report = json.loads(answer.out)
    assert (answer.code, report["days_downloaded"], report["days_failed"]) == (0, 202, 0), answer.err
    assert installation.text("fetched.txt").split() == [*["8"] * 12, "5"]
