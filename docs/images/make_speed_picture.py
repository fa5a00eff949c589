"""Draws the README's picture of download times from the newest run in the benchmark archive.

    .venv/bin/python -m docs.images.make_speed_picture

The picture names the run in benchmarks/results that its figures come from. It has its own background colour, so that it
is readable on light and dark pages, and loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.archive import ARCHIVE, find_scenario
from benchmarks.report import folder_name, format_seconds
from server.observability.benchmark_archive import read_runs

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_name("speed.svg")
SCENARIOS = (
    "3 symbols x 126 days x 390 minute bars, cold",
    "3 symbols x 5 days x 23,400 second bars, cold",
)
NAMES = {
    "polygon": "backtest-server",
    "lean-cli": "lean data download",
    "lean-request-pattern": "LEAN's requests, replayed",
    "massive": "the vendor's Python client",
    "massive-threads": "the same in five threads",
    "wire": "raw transfer (minimum)",
}
OWN, OTHER, FLOOR = "#0b7a75", "#c4713b", "#a5abb2"
WIDTH, LEFT, RIGHT, LINE = 760, 200, 90, 26


def newest(folder: Path = ROOT / ARCHIVE) -> dict[str, Any]:
    """Return the newest archived run on the local server that has the picture's scenarios."""
    for run in read_runs(folder):
        if not run["environment"].get("live") and all(find_scenario(run, title) for title in SCENARIOS):
            return run
    raise SystemExit("no archived run has the scenarios of the picture; run python -m benchmarks first")


def draw(run: Mapping[str, Any]) -> str:
    """Return the picture as SVG."""
    parts, y = [], 34
    for title in SCENARIOS:
        scenario = find_scenario(dict(run), title) or {}
        rows = [row for row in scenario["contenders"] if row["name"] in NAMES and row["median_s"] is not None]
        rows.sort(key=lambda row: list(NAMES).index(row["name"]))
        most = max(row["median_s"] for row in rows)
        parts.append(_text(24, y, title.replace(" x ", " \N{MULTIPLICATION SIGN} "), "bold"))
        y += 14
        for row in rows:
            length = (WIDTH - LEFT - RIGHT) * row["median_s"] / most
            colour = {"polygon": OWN, "wire": FLOOR}.get(row["name"], OTHER)
            weight = "bold" if row["name"] == "polygon" else "normal"
            parts += [
                _text(LEFT - 10, y + 17, NAMES[row["name"]], weight, "end"),
                f'<rect x="{LEFT}" y="{y + 4}" width="{max(length, 1):.1f}" height="18" fill="{colour}"/>',
                _text(LEFT + length + 8, y + 17, format_seconds(row["median_s"]), weight),
            ]
            y += LINE
        y += 34
    facts = run["environment"]
    against = facts.get("against") or f"the project's local server, {facts['latency_s'] * 1000:g} ms before each answer"
    machine = f"{facts['processor']}, {facts['cores']} cores. Run {folder_name(run)}."
    parts.append(_text(24, y - 8, "Median seconds; backtest-server's with its HTTP cache and its syncing to disk."))
    parts.append(_text(24, y + 10, f"{against[0].upper()}{against[1:]}. {machine}"))
    body = "\n".join(parts)
    name = ", ".join(SCENARIOS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 28}" role="img" '
        f'aria-label="Time of a download by contender: {escape(name)}" '
        'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{y + 28}" rx="8" fill="#fbfaf7"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="#1f2328" font-weight="{weight}">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(newest()), encoding="utf-8")
    print(f"wrote {PICTURE.name}")
