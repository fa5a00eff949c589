"""The recorded commands: scenarios of steps, each step one invocation of the command line. Data only.

Steps of a scenario share one folder, in which they run one after another, and one vendor. All days lie years in the
past, so that every day is settled whenever the commands run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

BARS_ALONE = {"BACKTEST_SERVER_CORPORATE_ACTIONS": "off"}
Change = tuple[str, ...]
"""``("remove", path)``, ``("truncate", path)`` (to half its size), or ``("write", path, text)``."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One invocation.

    Attributes:
        name: What the step is about; unique in its scenario.
        command: Arguments of `python -m server`, as in a shell.
        before: Changes to files of the scenario's folder before the command runs.
        env: Environment variables of this step; an empty value unsets.
        answers: Statuses that the first requests get.
        always: A status that every request gets.
        refused: Paths that are answered with 403.
    """

    name: str
    command: str
    before: tuple[Change, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[int, ...] = ()
    always: int | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Steps that share a folder and a vendor.

    Attributes:
        name: Also the name of the recorded file.
        env: Environment variables of all steps.
        plan_start: First day of the vendor's plan, if it has one.
        fake_lean: Whether the fake LEAN CLI is on PATH.
    """

    name: str
    steps: tuple[Step, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    plan_start: date | None = None
    fake_lean: bool = False


MARCH = "--start 2021-03-08 --end 2021-03-19"  # ten sessions; clocks change on the 14th
USA = "data/equity/usa"

DAILY = Scenario(
    name="daily",
    env=BARS_ALONE,
    steps=(
        Step(name="plan", command=f"download AAA BBB --resolution daily {MARCH} --dry-run --json"),
        Step(name="two symbols", command=f"download AAA bbb AAA --resolution daily {MARCH} --json"),
        Step(name="present", command=f"download AAA BBB --resolution daily {MARCH} --json"),
        Step(name="for people", command=f"download AAA --resolution daily {MARCH}"),
        Step(
            name="a longer range, another symbol",
            command="download AAA CCC.B --resolution daily --start 2021-03-01 --end 2021-04-09 --json",
        ),
        Step(name="coverage", command="coverage AAA BBB --resolution daily --start 2021-03-01 --end 2021-04-09 --json"),
        Step(
            name="coverage of a damaged zip",
            command=f"coverage AAA BBB --resolution daily {MARCH} --json",
            before=(("truncate", f"{USA}/daily/aaa.zip"),),
        ),
        Step(name="verify of a sound symbol", command="verify BBB --resolution daily --json"),
        Step(name="verify --repair", command="verify --resolution daily --repair --json"),
        Step(
            name="state removed",
            command=f"download AAA BBB --resolution daily {MARCH} --json",
            before=(("remove", "data/.backtest-server"),),
        ),
    ),
)

MINUTE = Scenario(
    name="minute",
    env=BARS_ALONE,
    steps=(
        Step(name="across a change of clocks", command=f"download AAA CCC.B --resolution minute {MARCH} --json"),
        Step(
            name="two pages a request, early close and holiday",
            command="download BBB --resolution minute --start 2020-12-23 --end 2020-12-28 --json",
        ),
        Step(
            name="coverage of a removed file",
            command=f"coverage AAA CCC.B --resolution minute {MARCH} --json",
            before=(("remove", f"{USA}/minute/aaa/20210310_trade.zip"),),
        ),
        Step(name="removed file", command=f"download AAA CCC.B --resolution minute {MARCH} --json"),
        Step(
            name="removed file without a cached response",
            command=f"download AAA --resolution minute {MARCH} --json",
            before=(
                ("remove", f"{USA}/minute/aaa/20210311_trade.zip"),
                ("remove", f"{USA}/minute/aaa/20210315_trade.zip"),
                ("remove", "data/.backtest-server"),
            ),
        ),
        Step(
            name="verify a truncated and an overwritten file",
            command="verify --resolution minute --json",
            before=(
                ("truncate", f"{USA}/minute/aaa/20210312_trade.zip"),
                ("write", f"{USA}/minute/ccc.b/20210316_trade.zip", "not a zip"),
            ),
        ),
        Step(name="damaged files", command=f"download AAA CCC.B --resolution minute {MARCH} --json"),
        Step(name="days without bars", command=f"download GAPS --resolution minute {MARCH} --json"),
        Step(name="days without bars, again", command=f"download GAPS --resolution minute {MARCH} --json"),
        Step(name="bars that begin late", command=f"download LATE --resolution minute {MARCH} --json"),
        Step(name="coverage of empty days", command=f"coverage GAPS LATE --resolution minute {MARCH} --json"),
        Step(
            name="backtest",
            command=f"backtest --symbols AAA,GAPS --resolution minute {MARCH} --engine smoke --json",
        ),
    ),
)

SECOND = Scenario(
    name="second",
    env=BARS_ALONE,
    steps=(
        Step(
            name="plan", command="download AAA --resolution second --start 2021-03-11 --end 2021-03-15 --dry-run --json"
        ),
        Step(
            name="three pages a session",
            command="download AAA --resolution second --start 2021-03-11 --end 2021-03-15 --json",
        ),
        Step(
            name="retries",
            command="download BBB --resolution second --start 2021-03-11 --end 2021-03-11 --json",
            answers=(503, 429),
        ),
        Step(
            name="given up",
            command="download CCC.B --resolution second --start 2021-03-11 --end 2021-03-11 --json",
            env={"BACKTEST_SERVER_RETRY_ATTEMPTS": "2"},
            always=503,
        ),
        Step(
            name="coverage", command="coverage AAA CCC.B --resolution second --start 2021-03-11 --end 2021-03-15 --json"
        ),
        Step(name="verify", command="verify --resolution second --json"),
    ),
)

REFUSED = Scenario(
    name="refused",
    env=BARS_ALONE,
    steps=(
        Step(
            name="wrong key",
            command=f"download AAA --resolution daily {MARCH} --json",
            env={"POLYGON_API_KEY": "other"},
        ),
        Step(name="no key", command=f"download AAA --resolution daily {MARCH} --json", env={"POLYGON_API_KEY": ""}),
        Step(name="unknown symbol", command=f"download AAA NONE --resolution daily {MARCH} --json"),
        Step(name="not found", command=f"download BBB --resolution daily {MARCH} --json", always=404),
        Step(name="weekend", command="download AAA --resolution daily --start 2021-03-13 --end 2021-03-14 --json"),
        Step(name="future", command="download AAA --resolution daily --start 2098-01-04 --end 2098-01-08 --json"),
        Step(
            name="before the calendar",
            command="download AAA --resolution daily --start 1997-12-29 --end 1998-01-02 --json",
        ),
        Step(
            name="end before start",
            command="download AAA --resolution daily --start 2021-03-19 --end 2021-03-08 --json",
        ),
        Step(name="not a symbol", command=f"download ../AAA --resolution daily {MARCH} --json"),
        Step(name="not a day", command="download AAA --resolution daily --start 2021-3-8 --end 2021-03-19 --json"),
        Step(name="not a resolution", command=f"download AAA --resolution fortnight {MARCH}"),
        Step(name="not a provider", command=f"download AAA --resolution daily {MARCH} --provider nosuch --json"),
    ),
)

PLAN = Scenario(
    name="plan",
    env=BARS_ALONE,
    plan_start=date(2021, 3, 10),
    steps=(
        Step(name="daily, cut", command=f"download AAA --resolution daily {MARCH} --json"),
        Step(name="minutes, cut", command=f"download AAA --resolution minute {MARCH} --json"),
        Step(name="outside", command="download AAA --resolution minute --start 2021-03-01 --end 2021-03-02 --json"),
        Step(name="coverage", command=f"coverage AAA --resolution minute {MARCH} --json"),
    ),
)

LEAN_JSON = '{"organization-id": "0123abcd", "data-folder": "data"}'
TWO_DAYS = "--start 2021-03-11 --end 2021-03-12"
RETRY_ONCE = {"BACKTEST_SERVER_RETRY_ATTEMPTS": "1"}
FALLBACK = Scenario(
    name="fallback",
    env={**BARS_ALONE, **RETRY_ONCE},
    fake_lean=True,
    steps=(
        Step(
            name="plan of the LEAN CLI",
            command=f"download AAA --resolution minute {MARCH} --provider lean-cli --dry-run --json",
        ),
        Step(name="no organization", command=f"download AAA --resolution daily {MARCH} --provider lean-cli --json"),
        Step(
            name="minutes",
            command=f"download AAA BBB --provider lean-cli --resolution minute {TWO_DAYS} --json",
            before=(("write", "lean.json", LEAN_JSON),),
        ),
        Step(
            name="rollback, daily",
            command=f"download AAA --resolution daily {MARCH} --json",
            env={"USE_POLYGON_NATIVE_DOWNLOADER": "false"},
        ),
        Step(
            name="fallback after an outage",
            command=f"download CCC.B --resolution daily {TWO_DAYS} --json",
            env={"BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "lean-cli"},
            always=503,
        ),
        Step(
            name="no fallback for a wrong key",
            command=f"download BBB --resolution daily {TWO_DAYS} --json",
            env={"BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "lean-cli", "POLYGON_API_KEY": "other"},
        ),
        Step(
            name="no such program",
            command=f"download BBB --resolution daily {TWO_DAYS} --provider lean-cli --json",
            before=(("remove", "bin"),),
        ),
    ),
)

CORPORATE_RANGE = "--start 2021-03-08 --end 2021-03-24"
CORPORATE = Scenario(
    name="corporate-actions",
    steps=(
        Step(name="split and dividends", command=f"download SPLT --resolution daily {CORPORATE_RANGE} --json"),
        Step(name="present", command=f"download SPLT --resolution daily {CORPORATE_RANGE} --json"),
        Step(name="renamed symbol, daily", command=f"download NEWT --resolution daily {CORPORATE_RANGE} --json"),
        Step(name="renamed symbol, minutes", command=f"download NEWT --resolution minute {MARCH} --json"),
        Step(name="coverage with events", command=f"coverage SPLT NEWT --resolution daily {CORPORATE_RANGE} --json"),
        Step(name="plan", command="factor-files AAA SPLT --dry-run --json"),
        Step(name="factor files", command="factor-files AAA SPLT LATE --json"),
        Step(name="refresh", command="factor-files SPLT --refresh --json"),
        Step(name="since", command="factor-files SPLT --since 2021-03-10 --json"),
        Step(
            name="a foreign file",
            command="factor-files BBB NONE --json",
            before=(
                ("write", f"{USA}/factor_files/bbb.csv", "20190102,0.5,0.5,1\n20210305,0.5,0.5,10\n20501231,1,1,0"),
            ),
        ),
        Step(name="replace", command="factor-files BBB --replace --json"),
        Step(
            name="a damaged factor file",
            command="verify --resolution daily --json",
            before=(("write", f"{USA}/factor_files/aaa.csv", "20190102;1;1;1\n"),),
        ),
        Step(
            name="dividends refused",
            command=f"download GAPS --resolution daily {CORPORATE_RANGE} --json",
            refused=("/stocks/v1/dividends", "/v3/reference/dividends"),
        ),
        Step(
            name="backtest",
            command=f"backtest --symbols SPLT,NEWT --resolution daily {CORPORATE_RANGE} --engine smoke --json",
        ),
        Step(
            name="no source",
            command="factor-files AAA --provider lean-cli --json",
        ),
    ),
)

PARAMETERS = """\
from datetime import date

SYMBOLS = ["AAA", "SPLT"]
RESOLUTION = "daily"
START_DATE = "2021-03-08"
END_DATE = "2021-03-19"
CASH = 100_000
"""
PROJECT = Scenario(
    name="project",
    steps=(
        Step(
            name="download and run",
            command="backtest project --engine smoke --json",
            before=(
                ("write", "project/main.py", "# the algorithm is not run by the smoke engine\n"),
                ("write", "project/config/__init__.py", ""),
                ("write", "project/config/parameters.py", PARAMETERS),
            ),
        ),
        Step(name="present", command="backtest project --json", env={"BACKTEST_SERVER_ENGINE": "smoke"}),
        Step(
            name="options before the project",
            command="backtest project --symbols BBB --resolution minute --start 2021-03-10 --engine smoke --json",
        ),
        Step(name="incomplete data", command="backtest project --symbols LATE --engine smoke --json", always=401),
        Step(
            name="parameters that cannot be read",
            command="backtest project --engine smoke --json",
            before=(("write", "project/config/parameters.py", "SYMBOLS = load()\n"),),
        ),
        Step(name="no project and no symbols", command="backtest --engine smoke --json"),
        Step(name="no such project", command="backtest nowhere --engine smoke --json"),
        Step(name="no such engine", command=f"backtest --symbols AAA {MARCH} --engine nosuch --json"),
    ),
)

OURS = '{{"data-folder": "elsewhere", "polygon-api-key": "abc", "backtest-server": {{{0}}}}}'
SETTINGS = Scenario(
    name="settings",
    steps=(
        Step(name="defaults", command="providers --json", env={"POLYGON_API_KEY": "", "POLYGON_API_URL": ""}),
        Step(
            name="lean.json",
            command="providers --json",
            before=(
                (
                    "write",
                    "lean.json",
                    OURS.format(
                        '"data-provider": "lean-cli", "fallback-data-provider": "polygon", '
                        '"providers": {"polygon": {"retry-attempts": 3, "requests-per-minute": 5}}'
                    ),
                ),
            ),
            env={"POLYGON_API_KEY": ""},
        ),
        Step(name="flag over lean.json", command="providers --provider polygon --json"),
        Step(name="data folder of lean.json", command=f"coverage AAA --resolution daily {MARCH} --json"),
        Step(
            name="unknown environment variable", command="providers --json", env={"BACKTEST_SERVER_RETRY_ATTEMPT": "3"}
        ),
        Step(name="value that does not fit", command="providers --json", env={"BACKTEST_SERVER_RETRY_ATTEMPTS": "few"}),
        Step(
            name="unknown setting",
            command="providers --json",
            before=(("write", "lean.json", OURS.format('"enginee": "smoke"')),),
        ),
        Step(name="not JSON", command="providers --json", before=(("write", "lean.json", "{"),)),
    ),
)

USAGE = Scenario(
    name="usage",
    steps=(
        Step(name="help", command="--help"),
        Step(name="no command", command=""),
        Step(name="unknown command", command="fetch"),
        Step(name="unknown option", command=f"download AAA --resolution daily {MARCH} --quick"),
    ),
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (CORPORATE, MINUTE, PROJECT, DAILY, FALLBACK, SETTINGS, REFUSED, SECOND, PLAN, USAGE)
}
"""The long ones come first, so that running two at a time takes least."""
