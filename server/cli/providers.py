"""`backtest-server providers`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from server.cli.common import folder_options, json_option, open_workspace, provider_option


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
        rows = [
            (
                name,
                offered.spec.summary,
                offered.distribution,
                settings.described(name, offered.spec.config_class),
            )
            for name, offered in sorted(workspace.plugins.providers.items())
        ]
        problems = [(problem.plugin, problem.reason) for problem in workspace.plugins.problems]
    if as_json:
        answer = {
            "chosen": chosen,
            "why": why,
            "fallback": settings.chosen_fallback,
            "providers": [
                {
                    "name": name,
                    "summary": summary,
                    "distribution": distribution,
                    "settings": [
                        {"setting": setting, "value": value, "source": source} for setting, value, source in described
                    ],
                }
                for name, summary, distribution, described in rows
            ],
            "problems": [{"plugin": plugin, "reason": reason} for plugin, reason in problems],
        }
        print(json.dumps(answer, indent=2))
        return 0
    for name, summary, distribution, described in rows:
        mark = "*" if name == chosen else " "
        click.echo(click.style(f"{mark} {name}", bold=name == chosen) + f"  {summary} (from {distribution})")
        width = max((len(setting) for setting, _, _ in described), default=0)
        for setting, value, source in described:
            click.echo(f"      {setting:{width}}  {value}  " + click.style(f"({source})", dim=True))
    fallback = settings.chosen_fallback
    click.echo(f"chosen: {chosen}, since {why}; " + (f"fallback: {fallback}" if fallback else "no fallback"))
    return 0
