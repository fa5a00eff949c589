"""The command `providers`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import folder_options, json_option, open_workspace, provider_option

if TYPE_CHECKING:
    from server.plugins.overview import ProviderOverview


@click.command()
@provider_option
@folder_options
@json_option
def providers(
    provider: str | None, data_folder: Path | None, lean_config: Path | None, as_json: bool, debug: bool
) -> int:
    """Show what is installed, which provider is chosen and why, and its settings."""
    with open_workspace(
        data_folder=data_folder, lean_config=lean_config, debug=debug, provider=provider, read_only=True
    ) as workspace:
        from server.plugins.overview import provider_overview, reason_of_choice

        overview = provider_overview(workspace.settings, workspace.plugins)
    why = reason_of_choice(overview)
    if as_json:
        print(json.dumps(_as_json(overview, why), indent=2))
        return 0
    from server.terminal.render import print_lines

    chosen, fallback = overview.choice.name, overview.fallback
    _print_providers(overview)
    print_lines(map(str, overview.problems))
    print_lines([f"chosen: {chosen}, since {why}; " + (f"fallback: {fallback}" if fallback else "no fallback")])
    return 0


def _as_json(overview: ProviderOverview, why: str) -> dict[str, Any]:
    return {
        "chosen": overview.choice.name,
        "why": why,
        "fallback": overview.fallback,
        "providers": [
            {
                "name": one.name,
                "summary": one.summary,
                "distribution": one.distribution,
                "settings": [
                    {"setting": row.setting, "value": row.value, "source": str(row.source)} for row in one.settings
                ],
                "problem": one.problem,
            }
            for one in overview.providers
        ],
        "problems": [{"plugin": problem.plugin, "reason": problem.reason} for problem in overview.problems],
    }


def _print_providers(overview: ProviderOverview) -> None:
    """Each provider with its settings; a star marks the chosen one."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from server.terminal.render import console

    out = console()
    if not out.is_terminal:
        out.width = max(out.width, 200)
    for provider in overview.providers:
        chosen = provider.name == overview.choice.name
        title = Text("* " if chosen else "  ").append(provider.name, style="bold" if chosen else "")
        out.print(title.append(f"  (from {provider.distribution})", style="bright_black"))
        out.print(Padding(Text(provider.summary), (0, 0, 0, 4)))
        if provider.problem:
            out.print(Padding(Text(f"cannot be used: {provider.problem}"), (0, 0, 0, 4)))
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold", style="bright_black")
        for row in provider.settings:
            table.add_row(row.setting, row.value, str(row.source))
        out.print(Padding(table, (0, 0, 1, 4)))
