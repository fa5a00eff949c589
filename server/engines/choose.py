"""Chooses the engine of a backtest, and says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError, ToolMissingError
from server.core.secret import Secret, without_secrets
from server.engines.base import LEAN_ENGINES, Engine
from server.engines.lean_options import LeanOptions
from server.engines.lean_run import NOT_FOR_LEAN_VARIABLES
from server.engines.reference_data import (
    ReferenceSource,
    image_source,
    launcher_source,
    prepare_reference_data,
)
from server.engines.status import SMOKE, EngineProbes, EngineStatus
from server.settings import Settings
from server.settings.core import EngineName
from server.trading_calendar import USEquityTradingCalendar

ENGINES = get_args(EngineName)

NO_PROJECT = "no LEAN project was given (name the folder that holds its main.py)"


@frozen(kw_only=True)
class EngineChoice:
    """The engine of a backtest.

    Attributes:
        engine: The engine.
        why: Which engine it is and why it was chosen, in one line.
        reference_sources: Where the data folder gets LEAN's reference data from; None for an engine that needs none.
    """

    engine: Engine
    why: str
    reference_sources: tuple[ReferenceSource, ...] | None = None

    def prepare(self, data_folder: Path, cancel: CancelToken) -> tuple[str, ...]:
        """Copy LEAN's reference data where the data folder lacks it (see `prepare_reference_data`)."""
        sources = self.reference_sources
        return () if sources is None else prepare_reference_data(data_folder, sources, cancel)


@frozen(kw_only=True)
class EngineOverview:
    """The engines of this machine.

    Attributes:
        chosen: The engine that ``auto`` chooses.
        why: Which one that is and why, in one line.
        engines: The status of each engine.
    """

    chosen: str
    why: str
    engines: tuple[EngineStatus, ...]


def choose_engine(
    wanted: str,
    *,
    project: Path | None,
    settings: Settings,
    calendar: USEquityTradingCalendar,
    clock: Callable[[], datetime],
    environ: Mapping[str, str],
    secrets: Sequence[Secret] = (),
) -> EngineChoice:
    """Choose the engine of a backtest.

    ``lean`` chooses the first of lean-native, lean-docker and lean-cli that can run, ``auto`` the same and the smoke
    test if none of them can. They are tried in this order, and nothing is looked for after the first that can run.

    Args:
        wanted: The name of an engine, ``lean`` or ``auto``.
        project: The LEAN project, if there is one.
        settings: They name the launcher, the Python, the image and lean.json.
        calendar: The trading calendar.
        clock: Returns the current instant in UTC.
        environ: The environment, for the PATH and for the programs of the engines.
        secrets: What is masked in LEAN's output, and what the programs that are asked do not get.

    Raises:
        ConfigurationError: The engine does not exist, or the launcher that is named does not.
        ToolMissingError: The engine cannot run here; the text names all that is missing and how to get it.
    """
    if wanted not in ENGINES:
        raise ConfigurationError(f"there is no engine {wanted!r}; choose one of {', '.join(ENGINES)}")
    if wanted == SMOKE:
        return EngineChoice(engine=_smoke(calendar, clock), why="the smoke test, as asked for")
    if project is None:
        if wanted == "auto":
            return EngineChoice(engine=_smoke(calendar, clock), why=_why_smoke([NO_PROJECT]))
        raise ToolMissingError(f"LEAN cannot run here: {NO_PROJECT}; or choose the engine smoke")
    probes = engine_probes(settings, environ, secrets, project)
    several = wanted in ("auto", "lean")
    candidates = LEAN_ENGINES if several else (wanted,)
    if "lean-native" in candidates:
        probes.require_named_launcher()
    skipped: list[EngineStatus] = []
    for name in candidates:
        status = probes.status(name, first_only=several)
        if status.ready:
            why = why_engine(status, skipped) if several else f"{name}, as asked for: {status.found}"
            engine = _create(name, probes, clock, environ, tuple(secrets))
            return EngineChoice(engine=engine, why=why, reference_sources=_reference_sources(name, probes))
        skipped.append(status)
    if wanted == "auto":
        return EngineChoice(engine=_smoke(calendar, clock), why=_why_smoke([_first_lack(one) for one in skipped]))
    lacks = "; ".join(_all_lacks(probes.status(name)) for name in candidates)
    subject = "LEAN" if several else wanted
    raise ToolMissingError(f"{subject} cannot run here: {lacks}; or choose another engine (backtest-server engines)")


def engine_overview(
    settings: Settings, *, environ: Mapping[str, str], secrets: Sequence[Secret] = (), project: Path | None = None
) -> EngineOverview:
    """Return what each engine finds and lacks, and which one ``auto`` chooses.

    Args:
        settings: They name the launcher, the Python, the image and lean.json.
        environ: The environment, for the PATH and the programs that are asked.
        secrets: What these programs do not get.
        project: The LEAN project to run; None means some Python project.
    """
    probes = engine_probes(settings, environ, secrets, project)
    statuses = tuple(probes.status(name) for name in (*LEAN_ENGINES, SMOKE))
    ready = next(status for status in statuses if status.ready)
    skipped = statuses[: statuses.index(ready)]
    why = _why_smoke([_first_lack(one) for one in skipped]) if ready.name == SMOKE else why_engine(ready, skipped)
    return EngineOverview(chosen=ready.name, why=why, engines=statuses)


def engine_probes(
    settings: Settings, environ: Mapping[str, str], secrets: Sequence[Secret], project: Path | None
) -> EngineProbes:
    """Return the probes of a project, whose programs get neither a secret nor the server's token."""
    kept = without_secrets(environ, secrets)
    environ = {name: value for name, value in kept.items() if name not in NOT_FOR_LEAN_VARIABLES}
    return EngineProbes(settings=settings, environ=environ, project=project)


def why_engine(status: EngineStatus, skipped: Sequence[EngineStatus]) -> str:
    """Return why one of LEAN's engines was chosen.

    Args:
        status: The engine that can run.
        skipped: The engines before it, which cannot.
    """
    reasons = (f"{one.name} cannot run: {one.lacks[0]}" for one in skipped)
    return "; ".join([f"{status.name}: {status.found}", *reasons])


def _why_smoke(reasons: Sequence[str]) -> str:
    return f"the smoke test, since LEAN cannot run here: {'; '.join(reasons)}"


def _first_lack(status: EngineStatus) -> str:
    return f"{status.name}: {status.lacks[0]}"


def _all_lacks(status: EngineStatus) -> str:
    return f"{status.name}: {', '.join(map(str, status.lacks))}"


def _smoke(calendar: USEquityTradingCalendar, clock: Callable[[], datetime]) -> Engine:
    from server.engines.smoke import SmokeEngine

    return SmokeEngine(calendar, clock)


def _create(
    name: str,
    probes: EngineProbes,
    clock: Callable[[], datetime],
    environ: Mapping[str, str],
    secrets: tuple[Secret, ...],
) -> Engine:
    """Create an engine that is ready."""
    settings, config = probes.settings, probes.lean_config
    options = LeanOptions(
        workspace=config.parent if config else None,
        object_store=settings.lean_object_store,
        live_stream=settings.lean_live_stream,
        secrets=secrets,
    )
    if name == "lean-native":
        from server.engines.lean_native import NativeEngine

        return NativeEngine(probes.launcher, options, clock, environ)
    if name == "lean-docker" and probes.docker is not None:
        from server.engines.lean_docker import DockerEngine

        return DockerEngine(probes.docker, settings.lean_engine_image, options, clock, environ)
    from server.engines.lean_cli import CliEngine

    if config is None:
        raise ValueError(f"{name} is not ready")
    return CliEngine(config, options, clock, environ, executable=str(probes.lean_cli.value))


def _reference_sources(name: str, probes: EngineProbes) -> tuple[ReferenceSource, ...]:
    """The sources of an engine: the launcher's own, else LEAN's image, where Docker has it."""
    if name == "lean-native":
        return (launcher_source(probes.launcher.reference_folders),)
    if probes.docker is None or probes.image is None:
        return ()
    return (image_source(probes.docker, probes.image, probes.environ),)
