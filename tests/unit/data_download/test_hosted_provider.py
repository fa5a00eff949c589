"""Exceptions of a provider become errors that name it, and end neither the download nor the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from loguru import logger

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, ConfigurationError
from server.core.json import to_json
from server.core.secret import Secret
from server.data_download.errors import AuthenticationError, BadResponseError, ProviderError
from server.data_download.findings import Findings
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import Capabilities
from server.data_download.report import CorporateFiles
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from tests.support.harness import Rig, gap, sessions
from tests.support.scripted_provider import ScriptedProvider, raising

DAYS = sessions(date(2024, 3, 4), 3)
KEY = "k3y-of-acme"
SECRETS = (Secret(KEY),)


class UnprintableError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@define
class RecordingStep:
    """A step that records the symbols it was called with."""

    before_symbols: list[str] = field(factory=list)

    def before(self, symbols: Sequence[str], *_: object) -> bool:
        """Change no ticker."""
        self.before_symbols += symbols
        return False

    def after(self, *_: object) -> tuple[CorporateFiles, ...]:
        """Build nothing."""
        return ()

    def findings(self, *_: object) -> Findings:
        """Find nothing."""
        return Findings()


FOREIGN = [
    (ValueError("odd\nvalue"), "ValueError: odd value"),
    (KeyError("close"), "KeyError: 'close'"),
    (SystemExit(3), "SystemExit: 3"),
    (RuntimeError(), "RuntimeError"),
    (UnprintableError(), "UnprintableError"),
]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder."""
    return Rig(tmp_path)


@pytest.fixture
def log() -> Iterator[list[Any]]:
    """The records of the log."""
    records: list[Any] = []
    number = logger.add(lambda message: records.append(message.record), level="ERROR", catch=False)
    yield records
    logger.remove(number)


@pytest.mark.parametrize(("error", "text"), FOREIGN, ids=[type(error).__name__ for error, _ in FOREIGN])
def test_a_foreign_exception_becomes_an_error_that_names_the_provider(
    error: BaseException, text: str, log: list[Any]
) -> None:
    """One line with the exception's type; the log has the exception itself."""
    hosted = HostedProvider("acme", raising(error))

    with pytest.raises(ProviderError) as caught:
        hosted.open(CancelToken())

    assert str(caught.value).startswith(f"the provider acme failed while being opened ({text});")
    assert caught.value.__cause__ is error
    assert caught.value.allows_fallback
    (record,) = log
    assert record["message"] == f"the provider acme raised {type(error).__name__} while being opened"
    assert record["extra"]["provider"] == "acme"


def test_an_interrupt_by_the_user_passes() -> None:
    """It is not the provider's."""
    with pytest.raises(KeyboardInterrupt):
        HostedProvider("acme", raising(KeyboardInterrupt())).open(CancelToken())


def test_our_errors_keep_their_type_and_lose_the_key() -> None:
    """Whether the text shows the key as it is or URL-encoded."""
    error = AuthenticationError(f"401 for ?apiKey={KEY.replace('-', '%2D')}")
    hosted = HostedProvider("acme", raising(error), secrets=SECRETS)

    with pytest.raises(AuthenticationError, match=r"^401 for \?apiKey=\*+$"):
        hosted.open(CancelToken())


def test_the_key_is_masked_in_foreign_exceptions() -> None:
    """In the text of the error; the log masks on its own."""
    hosted = HostedProvider("acme", raising(OSError(f"cannot reach {KEY}")), secrets=SECRETS)

    with pytest.raises(ProviderError) as caught:
        hosted.open(CancelToken())

    assert KEY not in str(caught.value)
    assert "cannot reach ****" in str(caught.value)


@pytest.mark.parametrize("wrong", [None, {"minute"}, "minute", Capabilities])
def test_capabilities_of_another_type_are_an_error(wrong: object) -> None:
    """The error names the type."""
    provider = ScriptedProvider(capabilities=wrong)

    with pytest.raises(ProviderError, match=rf"acme .* a {type(wrong).__name__} instead of Capabilities"):
        provider.hosted().capabilities(provider)


def test_missing_capabilities_are_an_error() -> None:
    """Also of a provider that is None, since `create` forgot to return it."""
    for nothing in (None, object()):
        with pytest.raises(ProviderError, match=r"declaring its capabilities \(AttributeError"):
            ScriptedProvider().hosted().capabilities(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolutions": {Resolution.DAILY}},
        {"resolutions": frozenset({"daily"})},
        {"resolutions": frozenset({Resolution.DAILY}), "order": "month"},
        {"resolutions": frozenset({Resolution.DAILY}), "markets": frozenset({1})},
    ],
)
def test_capabilities_check_their_fields(wrong: dict[str, Any]) -> None:
    """When they are created."""
    with pytest.raises((TypeError, ValueError)):
        Capabilities(**wrong)


def test_a_plan_is_lines_and_the_provider_is_closed() -> None:
    """One line for each, whatever the provider returns."""
    provider = ScriptedProvider(plan=lambda gaps: ["GET\n /a", 7])

    assert provider.hosted().plan([gap("SPY", DAYS)], CancelToken()) == ["GET /a", "7"]
    assert (provider.opened, provider.closed) == (1, 1)


@pytest.mark.parametrize("plan", [raising(ZeroDivisionError("x")), lambda gaps: None])
def test_a_plan_that_fails_is_an_error_that_names_the_provider(plan: Callable[..., Any]) -> None:
    """The provider is closed all the same."""
    provider = ScriptedProvider(plan=plan)

    with pytest.raises(ProviderError, match="the provider acme failed while planning"):
        provider.hosted().plan([gap("SPY", DAYS)], CancelToken())
    assert provider.closed == 1


# --- in a download ---


def open_failing(error: BaseException) -> HostedProvider:
    """A provider that cannot be created."""
    return HostedProvider("acme", raising(error))


def check_failing(error: BaseException) -> HostedProvider:
    """A provider whose check fails, and whose fetch would fail as well."""
    return HostedProvider("acme", raising(error), raising(error))


def fetch_failing(error: BaseException) -> HostedProvider:
    """A provider that fails when it fetches."""
    return ScriptedProvider(raising(error)).hosted()


def capabilities_failing(error: BaseException) -> HostedProvider:
    """A provider whose capabilities raise."""
    broken = type("Broken", (), {"capabilities": property(raising(error)), "close": lambda self: None})
    return HostedProvider("acme", lambda cancel: broken())


FAILING = [open_failing, check_failing, fetch_failing, capabilities_failing]


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("error", [ValueError("odd value"), SystemExit(0)], ids=["ValueError", "SystemExit"])
def test_a_download_reports_it_and_ends_regularly(
    rig: Rig, failing: Callable[[BaseException], HostedProvider], error: BaseException
) -> None:
    """Every day has failed, by name; the last event carries the report."""
    report = rig.download("SPY", DAYS, provider=failing(error))

    assert (report.days_failed, report.days_downloaded) == (3, 0)
    (failure,) = report.failures
    assert failure.error.startswith("the provider acme failed while ")
    assert failure.code == "provider_failed"
    assert rig.events[-1].report == report


@pytest.mark.parametrize("failing", FAILING)
def test_the_fallback_is_asked(rig: Rig, failing: Callable[[BaseException], HostedProvider]) -> None:
    """And delivers the days."""
    other = ScriptedProvider()
    report = rig.download("SPY", DAYS, provider=failing(ValueError("odd value")), fallback=other.hosted("other"))

    assert (report.days_failed, report.days_downloaded, report.fallback) == (0, 3, "other")
    assert any("acme failed (the provider acme failed" in notice for notice in report.notices)


def test_a_close_that_fails_is_a_notice(rig: Rig) -> None:
    """What was fetched is there."""
    report = rig.download("SPY", DAYS, provider=ScriptedProvider(close=raising(OSError("busy"))).hosted())

    assert report.complete
    (notice,) = report.notices
    assert notice.startswith("the provider acme failed while being closed (OSError: busy)")


def test_a_provider_with_wrong_capabilities_is_closed(rig: Rig) -> None:
    """It was opened."""
    provider = ScriptedProvider(capabilities=None)
    report = rig.download("SPY", DAYS, provider=provider.hosted())

    assert report.days_failed == 3
    assert (provider.opened, provider.closed, provider.batches) == (1, 1, [])


def test_a_reason_that_is_no_error_of_ours_is_replaced(rig: Rig) -> None:
    """It names the provider, the series and what was given."""

    def fetch(gaps: Any, sink: Any) -> None:
        sink.unavailable(gaps[0].series, gaps[0].days, TimeoutError("slow"))

    report = rig.download("SPY", DAYS, provider=ScriptedProvider(fetch).hosted())

    (failure,) = report.failures
    assert failure.error.startswith("SPY minute: the provider acme gave a TimeoutError as the reason")


def test_reasons_do_not_show_the_key(rig: Rig) -> None:
    """Neither in the report nor in its JSON."""

    def fetch(gaps: Any, sink: Any) -> None:
        sink.unavailable(gaps[0].series, gaps[0].days[:1], BadResponseError(f"not JSON: {KEY}"))
        raise ConfigurationError(f"wrong key {KEY}")

    report = rig.download("SPY", DAYS, provider=ScriptedProvider(fetch).hosted(secrets=SECRETS))

    assert sorted(failure.error for failure in report.failures) == [
        "not JSON: **********",
        "wrong key **********",
    ]
    assert KEY not in str(to_json(report))


def test_an_unknown_kind_of_event_names_the_provider(rig: Rig) -> None:
    """And the kinds that exist."""
    from server.core.events import Event

    def fetch(gaps: Any, sink: Any) -> None:
        sink.events.emit(Event(kind="progress"))  # type: ignore[arg-type]

    report = rig.download("SPY", DAYS, provider=ScriptedProvider(fetch).hosted())

    (failure,) = report.failures
    assert "the provider acme failed while fetching (ValueError: 'progress' is not a kind of event;" in failure.error


def test_a_resolution_that_a_provider_lacks_is_said_before_it_is_asked(rig: Rig) -> None:
    """The error names what it has. No step that may send requests comes before it."""
    provider = ScriptedProvider(capabilities=Capabilities(resolutions=frozenset({Resolution.DAILY})))
    step = RecordingStep()
    minutes = DownloadRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=DAYS[0], end=DAYS[-1])

    with rig.downloader(provider.hosted()) as bare:
        downloader = evolve(bare, steps=(step,))
        report = downloader.download(minutes)
        assert (provider.batches, step.before_symbols) == ([], [])
        downloader.download(evolve(minutes, resolution=Resolution.DAILY))

    assert report.failures[0].error == "the provider acme has no minute bars, only daily"
    assert (len(provider.batches), step.before_symbols) == (1, ["SPY"])


def test_an_error_of_the_root_class_is_a_reason(rig: Rig) -> None:
    """A `BacktestServerError` of a plugin's own passes as it is."""

    class ClosedError(BacktestServerError):
        code = "closed"

    report = rig.download("SPY", DAYS, provider=fetch_failing(ClosedError("the shop is closed")))

    assert [(failure.error, failure.code) for failure in report.failures] == [("the shop is closed", "closed")]
