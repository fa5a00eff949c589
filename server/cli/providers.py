"""The command `providers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import folder_options, json_option, open_workspace, provider_option

if TYPE_CHECKING:
    from server.plugins.manager import OfferedProvider
    from server.settings import Settings


@click.command()
@provider_option
@folder_options
@json_option
def providers(
    provider: str | None, data_folder: Path | None, lean_config: Path | None, as_json: bool, debug: bool
) -> int:
    """Show what is installed, which provider is chosen and why, and its settings."""
    with open_workspace(
        data_folder=data_folder, lean_config=lean_config, debug=debug, provider=provider, log=False
    ) as workspace:
        settings = workspace.settings
        chosen, why = settings.chosen_provider
        found = [_described(name, offered, settings) for name, offered in sorted(workspace.plugins.providers.items())]
        problems = [{"plugin": problem.plugin, "reason": problem.reason} for problem in workspace.plugins.problems]
    fallback = settings.chosen_fallback
    if as_json:
        answer = {"chosen": chosen, "why": why, "fallback": fallback, "providers": found, "problems": problems}
        print(json.dumps(answer, indent=2))
        return 0
    from server.terminal.render import print_lines

    _print_providers(found, chosen)
    print_lines([f"chosen: {chosen}, since {why}; " + (f"fallback: {fallback}" if fallback else "no fallback")])
    return 0


def _described(name: str, offered: OfferedProvider, settings: Settings) -> dict[str, Any]:
    """A provider in JSON's types; of one that lacks a setting, what that is."""
    from server.settings.providers import SettingMissing

    problem, rows = None, []
    try:
        rows = settings.described(name, offered.spec.config_class)
    except SettingMissing as error:
        problem = str(error)
    return {
        "name": name,
        "summary": offered.spec.summary,
        "distribution": offered.distribution,
        "settings": [{"setting": setting, "value": value, "source": source} for setting, value, source in rows],
        "problem": problem,
    }


def _print_providers(found: list[dict[str, Any]], chosen: str) -> None:
    """Each provider with its settings; a star marks the chosen one."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from server.terminal.render import console

    out = console()
    if not out.is_terminal:
        out.width = max(out.width, 200)
    for provider in found:
        name = provider["name"]
        title = Text("* " if name == chosen else "  ").append(name, style="bold" if name == chosen else "")
        out.print(title.append(f"  (from {provider['distribution']})", style="bright_black"))
        out.print(Padding(Text(provider["summary"]), (0, 0, 0, 4)))
        if provider["problem"]:
            out.print(Padding(Text(f"cannot be used: {provider['problem']}"), (0, 0, 0, 4)))
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold", style="bright_black")
        for row in provider["settings"]:
            table.add_row(row["setting"], row["value"], row["source"])
        out.print(Padding(table, (0, 0, 1, 4)))
