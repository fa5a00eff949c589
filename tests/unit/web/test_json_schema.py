"""The schemas of requests and results in OpenAPI."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from server.backtest import BacktestRequest, BacktestResult, Phase
from server.core.json import to_json
from server.data_download.report import CorporateFiles, DownloadReport, Failure
from server.engines.base import EngineProgress, EngineResult, Equity
from server.jobs import Job, JobState
from server.lean.series import Resolution, Series
from server.web import models
from server.web.access import Access
from server.web.app import create_app

INSTANT = datetime(2024, 1, 2, tzinfo=UTC)
DAY = date(2024, 1, 2)
PROGRESS = EngineProgress(fraction=0.5, equity=Equity((DAY,), (100_000.5,)), orders=3)


def document() -> dict[str, Any]:
    """The application's OpenAPI document."""
    nothing: Any = None
    here = Path()
    app = create_app(
        nothing, nothing, access=Access(), projects=here, benchmarks=here, metrics=lambda: (b"", "text/plain")
    )
    return app.openapi()


def schemas() -> dict[str, Any]:
    """The schemas of the document."""
    found: dict[str, Any] = document()["components"]["schemas"]
    return found


def report() -> DownloadReport:
    """A report with every part."""
    return DownloadReport(
        provider="polygon",
        resolution=Resolution.DAILY,
        symbols=("SPY",),
        start=DAY,
        end=DAY,
        **dict.fromkeys(("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed"), 1),
        **dict.fromkeys(("api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"), 1),
        started_at=INSTANT,
        finished_at=INSTANT,
        duration_s=0.5,
        failures=(Failure(series=Series("SPY", Resolution.DAILY), days=(DAY,), error="why"),),
        corporate_actions=(CorporateFiles(symbol="SPY", notices=("a",)),),
    )


def result() -> BacktestResult:
    """A result with every part."""
    engine = EngineResult(
        engine="smoke",
        summary=("a",),
        statistics={"Start Equity": "1"},
        equity=Equity((DAY,), (1.0,)),
        bars=1,
        days=1,
        started_at=INSTANT,
        finished_at=INSTANT,
        duration_s=0.5,
        results_folder=Path("results"),
    )
    return attrs.evolve(
        BacktestResult.of(BacktestRequest(symbols=("SPY",), resolution=Resolution.DAILY, start=DAY, end=DAY)),
        phases=(Phase(name="data_download", started_at=INSTANT, duration_s=0.5),),
        download=report(),
        engine_result=engine,
    )


def job(**changes: Any) -> Job:
    """A job."""
    values: dict[str, Any] = {
        "id": "0123456789ab",
        "kind": "backtest",
        "state": JobState.RUNNING,
        "request": to_json(BacktestRequest()),
        "result": to_json(result()),
        "retry_of": None,
        "created_at": INSTANT,
        "started_at": INSTANT,
        "finished_at": None,
    }
    return Job(**{**values, **changes})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BacktestRequest", BacktestRequest()),
        ("Phase", result().phases[0]),
        ("DownloadReport", report()),
        ("Failure", report().failures[0]),
        ("CorporateFiles", report().corporate_actions[0]),
        ("EngineResult", result().engine_result),
        ("EngineProgress", PROGRESS),
    ],
)
def test_the_schema_of_a_value_has_the_keys_of_its_json(name: str, value: object) -> None:
    """In both directions."""
    assert list(schemas()[name]["properties"]) == list(to_json(value))


def test_the_schema_of_a_jobs_result_also_has_its_progress() -> None:
    """While the engine runs, the result of a job has how far it has come; that of a command never does."""
    (one,) = set(schemas()["BacktestResult"]["properties"]) - set(to_json(result()))

    assert one == "progress"
    running = to_json(job(result={**to_json(result()), "progress": to_json(PROGRESS)}))
    assert models.JobAnswer(**running).model_dump(mode="json") == running


def untyped(schema: Any, path: str = "") -> list[str]:
    """The places of a schema that allow any value."""
    if isinstance(schema, list):
        return [place for at, one in enumerate(schema) for place in untyped(one, f"{path}/{at}")]
    if not isinstance(schema, dict):
        return []
    kinds = {"$ref", "anyOf", "enum", "const", "properties", "additionalProperties", "items"}
    here = "title" in schema and not kinds & set(schema) and schema.get("type") in (None, "object", "array")
    open_object = schema.get("type") == "object" and schema.get("additionalProperties") is True
    below = [place for key, one in schema.items() for place in untyped(one, f"{path}/{key}")]
    return [path] * (here or open_object) + below


def test_requests_and_results_are_typed_completely() -> None:
    """No part allows any value, but facts of an error, runs of the benchmark archive, and LEAN's findings."""
    assert untyped(schemas()) == [
        "/Benchmarks/properties/runs/items",
        "/EngineResult/properties/analysis/items",
        "/ErrorFacts/properties/facts",
    ]


def test_every_json_response_has_a_schema() -> None:
    """The success of each operation of the API refers to a schema."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            (success,) = (one for status, one in operation["responses"].items() if status.startswith("2"))
            content = success.get("content", {}).get("application/json")
            assert content is None or content["schema"].get("$ref"), (method, path)


def test_a_job_passes_unchanged() -> None:
    """What is sent is what `to_json` made."""
    found = job()

    assert models.JobAnswer(**to_json(found)).model_dump(mode="json") == to_json(found)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"state": "failed", "error": {"code": "unexpected", "message": "it ended unexpectedly"}},
        {"state": "completed", "download": {"provider": "polygon", "days_requested": 3, "failures": [{"symbol": "X"}]}},
    ],
)
def test_results_of_earlier_versions_are_sent_as_they_were_stored(stored: dict[str, Any]) -> None:
    """Keys that did not exist yet remain absent."""
    found = models.JobAnswer(**to_json(job(result=stored)))

    assert found.model_dump(mode="json")["result"] == stored
