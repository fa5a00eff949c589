"""Requests and responses of the API, as OpenAPI describes them."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema

from server.backtest import BacktestRequest, BacktestResult
from server.coverage import Coverage
from server.jobs import JobState
from server.lean.feed import LossKind, Mode
from server.lean.series import Resolution, parse_symbol
from server.settings.core import EngineName
from server.web.json_schema import Instant, JsonOf

SymbolText = Annotated[
    str,
    AfterValidator(parse_symbol),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 18,
            "pattern": r"^([A-Z][A-Z0-9]{0,9}(\.[A-Z0-9]{1,3}){0,2}|[a-z][a-z0-9]{0,9}(\.[a-z0-9]{1,3}){0,2})$",
            "examples": ["SPY"],
        }
    ),
]


def _iso_day(value: object) -> date:
    """Accept YYYY-MM-DD only, as the command line does."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return date.fromisoformat(value)
    raise ValueError("it must be a day such as 2024-01-31")


Day = Annotated[date, BeforeValidator(_iso_day)]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]

MAX_SYMBOLS = 500

CoverageAnswer = Annotated[dict[str, Any], JsonOf(Coverage)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BacktestBody(_Strict):
    """A backtest to run; what is omitted is taken from the project's parameters."""

    project: str | None = Field(default=None, max_length=200, description="A project's name, as /api/projects gives it")
    symbols: list[SymbolText] | None = Field(default=None, min_length=1, max_length=MAX_SYMBOLS)
    resolution: Resolution | None = None
    start: Day | None = Field(default=None, description="First day, included")
    end: Day | None = Field(default=None, description="Last day, included")
    engine: EngineName | None = Field(default=None, description="Omitted: the engine of the settings")
    provider: str | None = Field(default=None, max_length=60)
    fill: StrictBool = Field(default=True, description="Fetch what LEAN requested and did not get, and run it again")
    allow_damaged: StrictBool = Field(
        default=False,
        description="Run on files that LEAN does not read whole and that cannot be repaired; the result is untrusted",
    )


class DownloadBody(_Strict):
    """Data to download."""

    symbols: list[SymbolText] = Field(min_length=1, max_length=MAX_SYMBOLS)
    resolution: Resolution
    start: Day
    end: Day
    provider: str | None = Field(default=None, max_length=60)


class ErrorFacts(BaseModel):
    """An error: a stable code, a message for people, and its facts."""

    code: str
    message: str
    facts: dict[str, Any]


class ErrorAnswer(BaseModel):
    """The form of every error."""

    error: ErrorFacts


class QueuedJob(BaseModel):
    """A job was queued."""

    id: JobId
    url: str


class JobAnswer(BaseModel):
    """A job; `result` is empty until the job runs, then grows. Jobs of earlier versions may lack keys.

    `result.progress` exists while the engine runs.
    """

    id: JobId
    kind: Literal["backtest", "download"]
    state: JobState
    request: Annotated[dict[str, Any], JsonOf(BacktestRequest, stored=True)]
    result: Annotated[dict[str, Any], JsonOf(BacktestResult, stored=True, omitted=("progress",))]
    retry_of: str | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None


class JobList(BaseModel):
    """One page of jobs, the newest first."""

    jobs: list[JobAnswer]
    total: int
    page: int
    per_page: int


class Project(BaseModel):
    """A LEAN project and its parameters; `problem` says why they cannot be read."""

    name: str
    symbols: list[str] | None = None
    resolution: Resolution | None = None
    start: date | None = None
    end: date | None = None
    problem: str | None = None


class Projects(BaseModel):
    """The projects of the projects folder."""

    projects: list[Project]


class Calendar(BaseModel):
    """The range of the trading calendar and the sessions asked for."""

    first_day: date
    last_session: date
    sessions: list[date]


class Symbols(BaseModel):
    """The symbols that have files of a resolution."""

    symbols: list[str]


class FeedEvent(BaseModel):
    """A split, dividend, delisting or rename, as the command `bars` prints it; keys of other types are null."""

    type: Literal["split", "dividend", "delisting", "rename"]
    day: date
    ticker: str
    kind: Literal["warning", "occurred", "delisted"] | None = None
    factor: float | None = None
    reference: float | None = None
    amount: float | None = None
    old: str | None = None
    new: str | None = None


class FeedLoss(BaseModel):
    """Data on disk, or missing from it, that LEAN does not feed; without days where they are not known."""

    first_day: date | None
    last_day: date | None
    path: str
    kind: LossKind
    reason: str


class BarsAnswer(BaseModel):
    """Bars as columns: `time` in ms since 1970 UTC, prices in dollars; each point merges `bars_per_point` bars.

    `events` and `losses` are those of the range, as LEAN's engine would feed and lose them.
    """

    symbol: str
    resolution: Resolution
    time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    bars_total: int
    bars_per_point: int
    mode: Mode
    extended_hours: bool
    events: list[FeedEvent] = []
    losses: list[FeedLoss] = []


class SettingValue(BaseModel):
    """A setting, its value and its source; of a secret only whether it is set."""

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


class MissingRequirementInfo(BaseModel):
    """What an engine lacks, and the command that provides it."""

    what: str
    fix: str


class EngineInfo(BaseModel):
    """An engine: whether it can run, what was found and what it lacks."""

    name: str
    ready: bool
    found: str
    lacks: list[MissingRequirementInfo]


class EnginesAnswer(BaseModel):
    """The engines of the server's machine, and which one `auto` chooses for a project and why."""

    chosen: str
    why: str
    engines: list[EngineInfo]


class Benchmarks(BaseModel):
    """The archive of benchmark runs, the newest first."""

    runs: list[dict[str, Any]]


class HealthCheck(BaseModel):
    """One condition that the server needs."""

    name: str
    ok: bool
    detail: str


class Health(BaseModel):
    """Whether the server can work, and why not."""

    ok: bool
    checks: list[HealthCheck]
