"""What LEAN's engines take from the settings."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from server.core.secret import Secret
from server.settings.core import ObjectStore

TIME_LIMIT = 6 * 3600.0
"""Seconds after which a backtest is stopped."""


@frozen(kw_only=True)
class LeanOptions:
    """Options of a run of LEAN's launcher.

    Attributes:
        workspace: The folder of lean.json; None without one.
        object_store: Which folder LEAN's object store is in: ``run`` the run's own, ``workspace`` the folder
            ``storage`` of the workspace, ``auto`` that of the workspace where it exists.
        live_stream: Whether progress comes from LEAN's ZeroMQ stream; None leaves it to the engine.
        time_limit: Seconds after which a backtest is stopped.
        secrets: What is masked in LEAN's output.
    """

    workspace: Path | None = None
    object_store: ObjectStore = "auto"
    live_stream: bool | None = None
    time_limit: float = TIME_LIMIT
    secrets: tuple[Secret, ...] = ()
