"""What the API takes and gives, as OpenAPI describes it."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from server.jobs import JobState
from server.lean.series import parse_symbol

ResolutionName = Literal["daily", "minute", "second"]
SymbolText = Annotated[
    str,
    Field(max_length=18, pattern=r"^[A-Za-z][A-Za-z0-9]{0,9}(\.[A-Za-z0-9]{1,3}){0,2}$", examples=["SPY"]),
    AfterValidator(parse_symbol),
]


def _iso_day(value: object) -> date:
    """As strict as the command line: no instants, no numbers."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return date.fromisoformat(value)
    raise ValueError("it must be a day such as 2024-01-31")


Day = Annotated[date, BeforeValidator(_iso_day)]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]

MAX_SYMBOLS = 500


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BacktestBody(_Strict):
    """A backtest; what is left out is taken from the project's parameters."""

    project: str | None = Field(default=None, max_length=200, description="A project's name, as /api/projects gives it")
    symbols: list[SymbolText] | None = Field(default=None, min_length=1, max_length=MAX_SYMBOLS)
    resolution: ResolutionName | None = None
    start: Day | None = Field(default=None, description="First day, included")
    end: Day | None = Field(default=None, description="Last day, included")
    engine: Literal["auto", "lean", "smoke"] | None = None
    provider: str | None = Field(default=None, max_length=60)


class DownloadBody(_Strict):
    """Data to be made available."""

    symbols: list[SymbolText] = Field(min_length=1, max_length=MAX_SYMBOLS)
    resolution: ResolutionName
    start: Day
    end: Day
    provider: str | None = Field(default=None, max_length=60)


class ErrorFacts(BaseModel):
    """An error: a stable word, a sentence for people, and the facts apart."""

    code: str
    message: str
    facts: dict[str, Any]


class ErrorAnswer(BaseModel):
    """Every error's form."""

    error: ErrorFacts


class Accepted(BaseModel):
    """A job was queued."""

    id: JobId
    url: str


class JobAnswer(BaseModel):
    """A job as it stands; `result` is empty until it runs, then grows."""

    id: JobId
    kind: Literal["backtest", "download"]
    state: JobState
    request: dict[str, Any]
    result: dict[str, Any]
    retry_of: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class JobList(BaseModel):
    """One page of jobs, the newest first."""

    jobs: list[JobAnswer]
    total: int
    page: int
    per_page: int


class Project(BaseModel):
    """A LEAN project and what its parameters say."""

    name: str
    symbols: list[str] | None
    resolution: ResolutionName | None
    start: str | None
    end: str | None
    problem: str | None


class Projects(BaseModel):
    """The projects that can be run."""

    projects: list[Project]


class Calendar(BaseModel):
    """What is known of trading days."""

    first_day: date
    last_session: date
    sessions: list[date]


class Symbols(BaseModel):
    """Symbols that have files of a resolution."""

    symbols: list[str]


class CorporateEvent(BaseModel):
    """What LEAN fires on a day: dollars a share, and new shares for old ones (`4:1`); null where there is none."""

    day: date
    dividend: float | None
    split: str | None


class FactorFileInfo(BaseModel):
    """What stands in a factor file; `events` are those of the range asked for, the counts are the whole file's."""

    first_day: date | None
    last_event: date | None
    splits: int
    dividends: int
    events: list[CorporateEvent]
    damaged: str | None


class Tenure(BaseModel):
    """The days, both included, on which a share has a ticker; no last one while it has it."""

    ticker: str
    first_day: date
    last_day: date | None


class MapFileInfo(BaseModel):
    """What stands in a map file."""

    tickers: list[Tenure]
    delisted: date | None
    damaged: str | None


class SymbolCoverage(BaseModel):
    """One symbol's trading days by state, and its factor and map file, null where there is none."""

    counts: dict[str, int]
    days: dict[str, Literal["present", "provisional", "empty", "damaged", "missing"]]
    factor_file: FactorFileInfo | None
    map_file: MapFileInfo | None


class Coverage(BaseModel):
    """What is there of some symbols."""

    resolution: ResolutionName
    start: date
    end: date
    symbols: dict[str, SymbolCoverage]
    notices: list[str]


class BarsAnswer(BaseModel):
    """Bars as columns: `time` in ms since 1970 UTC, prices in dollars; each point stands for `bars_per_point` bars."""

    symbol: str
    resolution: ResolutionName
    time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    bars_total: int
    bars_per_point: int


class SettingValue(BaseModel):
    """A setting in force and where it came from; of a secret only whether it is set."""

    setting: str
    value: str
    source: str


class ProviderInfo(BaseModel):
    """An installed provider; `problem` says which setting it needs and how to set it."""

    name: str
    summary: str
    distribution: str
    settings: list[SettingValue]
    problem: str | None


class PluginProblemInfo(BaseModel):
    """A plugin that was left out, and why."""

    plugin: str
    reason: str


class ProvidersAnswer(BaseModel):
    """What is installed, which provider is chosen and why."""

    chosen: str
    why: str
    fallback: str | None
    providers: list[ProviderInfo]
    problems: list[PluginProblemInfo]
    settings: list[SettingValue]


class Benchmarks(BaseModel):
    """The archive of benchmark runs, the newest first."""

    runs: list[dict[str, Any]]


class HealthCheck(BaseModel):
    """One thing that must be right."""

    name: str
    ok: bool
    detail: str


class Health(BaseModel):
    """Whether the server can do its work, and why not."""

    ok: bool
    checks: list[HealthCheck]
