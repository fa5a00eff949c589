"""Options that commands share, and the contexts in which commands run: workspace and signals."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from server.cli.symbols import read_symbols
from server.core.paths import InvalidPath, expand_path
from server.lean.series import Resolution
from server.terminal.messages import print_warning

if TYPE_CHECKING:
    from server.core.cancel import CancelToken
    from server.data_download.request import DownloadRequest
    from server.terminal.progress import ProgressDisplay
    from server.workspace import Workspace

RESOLUTIONS = tuple(resolution.value for resolution in Resolution)
_GRACE_SECONDS = 1.5
_WRITTEN_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read a day in the form YYYY-MM-DD."""
        if isinstance(value, date):
            return value
        try:
            if not _WRITTEN_DAY.fullmatch(value):
                raise ValueError(value)
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value[:24]!r} is not a day; write it as YYYY-MM-DD, for example 2024-01-31", param, ctx)


class _Place(click.Path):
    """The path of a file or folder; not an empty text, which an unset shell variable results in."""

    def __init__(self, *, setting: bool = False) -> None:
        """Take whether it is a setting: its ``~`` and ``$NAME`` are replaced where settings are read."""
        super().__init__(path_type=Path)
        self._setting = setting

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a path."""
        if value == "" or "\0" in str(value):
            self.fail("it names no file or folder", param, ctx)
        try:
            path = value if self._setting or not isinstance(value, str) else expand_path(value, os.environ)
        except InvalidPath as error:
            self.fail(f"{value!r} cannot be used: {error}", param, ctx)
        return super().convert(path, param, ctx)


DAY = _Day()
PLACE = _Place()
_SETTING = _Place(setting=True)


def symbols_argument(*, required: bool = True) -> Callable[[_Command], _Command]:
    """Return the SYMBOLS... argument, of which each may be the ``@FILE`` of a list."""

    def read(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
        return read_symbols(texts, ctx, param)

    return click.argument("symbols", nargs=-1, required=required, callback=read)


def range_options(*, required: bool = True) -> Callable[[_Command], _Command]:
    """Return the options --start and --end."""

    def add(command: _Command) -> _Command:
        command = click.option("--end", type=DAY, required=required, help="Last day, included.")(command)
        return click.option("--start", type=DAY, required=required, help="First day, included.")(command)

    return add


def folder_options(command: _Command) -> _Command:
    """Add --data-folder, --lean-config and --debug, which every command has."""
    command = click.option("--debug", is_flag=True, help="Show tracebacks and debug lines.")(command)
    command = click.option(
        "--lean-config", type=PLACE, help="The lean.json to read; by default the nearest one upward."
    )(command)
    return click.option("--data-folder", type=_SETTING, help="LEAN's data folder.")(command)


resolution_option = click.option("--resolution", type=click.Choice(RESOLUTIONS), required=True, help="Length of a bar.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
provider_option = click.option("--provider", metavar="NAME", help="The provider of missing data.")


def parsed_request(symbols: Sequence[str], resolution: str, start: date, end: date) -> DownloadRequest:
    """Return the request of a command's arguments.

    Raises:
        click.UsageError: The arguments do not fit together.
    """
    from server.data_download.request import DownloadRequest

    try:
        return DownloadRequest(symbols=tuple(symbols), resolution=Resolution(resolution), start=start, end=end)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


@contextmanager
def open_workspace(
    *,
    data_folder: Path | None,
    lean_config: Path | None,
    debug: bool,
    read_only: bool = False,
    display: ProgressDisplay | None = None,
    **flags: Any,
) -> Iterator[Workspace]:
    """Read the settings, find the plugins, set up the log and open the workspace.

    Args:
        data_folder: LEAN's data folder; None means not given.
        lean_config: The lean.json to read; None means the nearest one upward.
        debug: Whether debug lines are logged.
        read_only: Whether no state folder is created, and no log is written in it.
        display: Shows the log's lines of text; None prints them on stderr.
        flags: Settings given on the command line (``provider``, ``engine``); None means not given.
    """
    from server.observability import configure_logging
    from server.plugins.manager import build_plugin_manager
    from server.settings import load_settings
    from server.workspace import Workspace

    settings = load_settings(
        flags={"data-folder": data_folder, **flags}, environ=os.environ, cwd=Path.cwd(), lean_config=lean_config
    )
    plugins = build_plugin_manager()
    workspace = Workspace.open(settings, plugins, read_only=read_only)
    try:
        configure_logging(
            state_folder=None if read_only else settings.state_folder,
            level="DEBUG" if debug else os.environ.get("BACKTEST_SERVER_LOG_LEVEL") or "INFO",
            sink=display.show if display else None,
            sink_level=display.level if display else None,
            secrets=workspace.secrets(),
        )
        for message in workspace.warnings():
            print_warning(message)
        yield workspace
    finally:
        workspace.close()


@contextmanager
def cancel_on_signals(grace: float = _GRACE_SECONDS) -> Iterator[CancelToken]:
    """Return a token that Ctrl-C, SIGTERM and the end of the terminal cancel.

    The command has 1.5 seconds to stop and to report; then the process ends, even if a connection still waits. No
    file is damaged by that: files are renamed into place once they are complete. A program that the command runs, such
    as LEAN, has its own time to end before that; a second signal ends it at once.

    Args:
        grace: Seconds instead of 1.5, for a command that has to clean up.
    """
    from server.core.cancel import CancelToken
    from server.core.running_programs import kill_programs
    from server.core.stopping_signals import stopping_signals

    token = CancelToken()

    def stop(number: int, frame: object) -> None:
        if token.cancelled:
            kill_programs()
            os._exit(130)
        token.cancel()
        timer = threading.Timer(grace, _exit_interrupted)
        timer.daemon = True
        timer.start()
        timers.append(timer)

    timers: list[threading.Timer] = []
    before = {number: signal.signal(number, stop) for number in stopping_signals()}
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()


def _exit_interrupted() -> None:
    from server.core.running_programs import wait_for_programs

    if wait_for_programs():
        time.sleep(_GRACE_SECONDS)  # for the command to report how the program ended
    print("stopped; complete days are kept", file=sys.stderr, flush=True)
    os._exit(130)


def print_json(value: Any) -> None:
    """Print a value as one JSON object on stdout.

    Args:
        value: What `server.core.json.to_json` converts.
    """
    from server.core.json import to_json

    print(json.dumps(to_json(value), indent=2))
