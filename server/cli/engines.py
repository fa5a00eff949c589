"""The command `engines`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import PLACE, folder_options, json_option, open_workspace

if TYPE_CHECKING:
    from server.engines.choose import EngineOverview


@click.command()
@click.argument("project", required=False, type=PLACE)
@folder_options
@json_option
def engines(
    project: Path | None, data_folder: Path | None, lean_config: Path | None, as_json: bool, debug: bool
) -> int:
    """Show which engines can run, what the others lack, and which one `auto` chooses.

    PROJECT is a LEAN project; without one the answer is for a Python project.
    """
    from server.backtest_server import BacktestManager

    with open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, read_only=True) as workspace:
        overview = BacktestManager(workspace, environ=os.environ).engines(project)
    if as_json:
        print(json.dumps(_as_json(overview), indent=2))
    else:
        _print(overview)
    return 0


def _as_json(overview: EngineOverview) -> dict[str, Any]:
    return {
        "chosen": overview.chosen,
        "why": overview.why,
        "engines": [
            {
                "name": one.name,
                "ready": one.ready,
                "found": one.found,
                "lacks": [{"what": lack.what, "fix": lack.fix} for lack in one.lacks],
            }
            for one in overview.engines
        ],
    }


def _print(overview: EngineOverview) -> None:
    """Each engine with what it found and lacks; a star marks the one that ``auto`` chooses."""
    from server.terminal.render import print_lines

    for one in overview.engines:
        star = "*" if one.name == overview.chosen else " "
        print_lines([f"{star} {one.name:<12} {'ready' if one.ready else 'cannot run'}: {one.found}"])
        print_lines(f"    lacks: {lack.what}\n      fix: {lack.fix}" for lack in one.lacks)
    print_lines([f"auto chooses {overview.why}"])
