"""A backtest request, and how a project's parameters complete it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from attrs import evolve, frozen

from server.core.errors import ConfigurationError
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.project import read_project_parameters


@frozen(kw_only=True)
class BacktestRequest:
    """A backtest to run; what is None is taken from the project's ``config/parameters.py`` or from the settings.

    Attributes:
        project: The LEAN project's folder, or its main.py.
        symbols, resolution, start, end: What data it runs on; the first and last day are included.
        engine, provider: Override the settings.
        only_data: Download the data and run no engine.
        allow_damaged: Run on files that LEAN does not read whole and that cannot be repaired.
        fill: Fetch what LEAN requested and did not get, and run it again.
    """

    project: Path | None = None
    symbols: tuple[str, ...] | None = None
    resolution: Resolution | None = None
    start: date | None = None
    end: date | None = None
    engine: str | None = None
    provider: str | None = None
    only_data: bool = False
    allow_damaged: bool = False
    fill: bool = True


def resolve(request: BacktestRequest) -> BacktestRequest:
    """Complete symbols, resolution and days from the project; the resolution defaults to minute.

    Args:
        request: The request; a project that it does not need is not read.

    Returns:
        A request with symbols, resolution, start and end.

    Raises:
        ConfigurationError: A value is missing or does not fit; the text says where to give it.
    """
    wanted = {"symbols": request.symbols, "start": request.start, "end": request.end, "resolution": request.resolution}
    given = [name for name, value in wanted.items() if value is not None]
    missing = [name for name in ("symbols", "start", "end") if name not in given]
    if request.project is not None and (missing or request.resolution is None):
        parameters = read_project_parameters(request.project, skip=given)
        request = evolve(
            request, **{name: getattr(parameters, name) for name, value in wanted.items() if value is None}
        )
        missing = [name for name in missing if getattr(request, name) is None]
        if missing:
            flags = " and --".join(missing)
            raise ConfigurationError(
                f"{parameters.source} gives no {' and no '.join(missing)}; add it there or give --{flags}"
            )
    if missing:
        raise ConfigurationError(
            f"a backtest without a project needs --{', --'.join(missing)}; "
            "or name a LEAN project with config/parameters.py"
        )
    resolved = evolve(request, resolution=request.resolution or Resolution.MINUTE)
    download_request(resolved)
    return resolved


def download_request(request: BacktestRequest) -> DownloadRequest:
    """Return the download of the data that a resolved request needs.

    Raises:
        ConfigurationError: The symbols or days do not fit.
    """
    assert request.symbols is not None  # noqa: S101 - resolved before
    assert request.resolution is not None  # noqa: S101
    assert request.start is not None  # noqa: S101
    assert request.end is not None  # noqa: S101
    try:
        return DownloadRequest(
            symbols=request.symbols, resolution=request.resolution, start=request.start, end=request.end
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
