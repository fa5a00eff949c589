"""The pictures of a run, each as SVG and PNG. They stand on a ground of their own, so that any page may show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from server.bench.contenders import OWN, WIRE
from server.bench.report import seconds
from server.core.errors import ToolMissingError

_GROUND, _INK, _DIM, _GRID = "#fbfaf7", "#1f2328", "#5c636b", "#dcd9d2"
_COLOURS = {
    OWN: "#0b7a75",
    "lean-cli": "#7a3b1d",
    "lean-request-pattern": "#c4713b",
    "massive": "#4f5fb8",
    "massive-threads": "#98a2dc",
    WIRE: "#a5abb2",
}
_STYLE = {
    "figure.facecolor": _GROUND,
    "axes.facecolor": _GROUND,
    "savefig.facecolor": _GROUND,
    "text.color": _INK,
    "axes.labelcolor": _DIM,
    "axes.edgecolor": _GRID,
    "xtick.color": _DIM,
    "ytick.color": _INK,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "backtest-server",
    "figure.max_open_warning": 0,
}

_Rows = Sequence[Mapping[str, Any]]


def require_matplotlib() -> None:
    """See that plots can be drawn.

    Raises:
        ToolMissingError: They cannot.
    """
    if find_spec("matplotlib") is None:
        raise ToolMissingError("the plots need matplotlib, which is missing: pip install 'backtest-server[bench]'")


def draw(run: Mapping[str, Any], folder: Path) -> list[str]:
    """Draw a run's pictures into the folder. Returns their names, without an ending.

    Raises:
        ToolMissingError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, figure in _figures(run):
            for ending in ("svg", "png"):
                metadata = {"Date": None} if ending == "svg" else {"Software": None}
                figure.savefig(folder / f"{name}.{ending}", dpi=130, metadata=metadata)
            drawn.append(name)
    return drawn


def _figures(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    single = [one for one in run["scenarios"] if not one["series"]]
    plain: list[tuple[str, str, Callable[[Mapping[str, Any]], float | None], Callable[[float], str]]] = [
        ("time", "Seconds, median; the line spans all runs", lambda row: row["median_s"], seconds),
        ("requests", "Requests sent", lambda row: row["requests"], lambda value: f"{value:,.0f}"),
        ("bytes", "Megabytes on the wire", lambda row: row["bytes"] / 1e6, lambda value: f"{value:,.1f}"),
        ("memory", "Megabytes of memory at most", lambda row: row["peak_mb"], lambda value: f"{value:,.0f}"),
    ]
    for name, title, value, text in plain if single else ():
        yield name, _bars(title, single, value, text, whiskers=name == "time")
    asked = [(one["name"], share) for one in single if (share := _cache_share(one)) is not None]
    if asked:
        yield "cache", _shares(f"Answers from the HTTP cache, {OWN}; nobody else keeps one", asked)
    for over in ("days", "symbols", "bars"):
        steps = [one for one in run["scenarios"] if one["over"] == over]
        for series in dict.fromkeys(one["series"] for one in steps):
            yield series, _lines(over, [one for one in steps if one["series"] == series])


def _cache_share(scenario: Mapping[str, Any]) -> float | None:
    """How many of its answers `polygon` took from its cache, of all; None where it asked for nothing."""
    own = next((row for row in _ran(scenario) if row["name"] == OWN), None)
    asked = own["cache_hits"] + own["requests"] if own else 0
    return own["cache_hits"] / asked if own and asked else None


def _ran(scenario: Mapping[str, Any]) -> _Rows:
    return [row for row in scenario["contenders"] if not row.get("not_run")]


def _bars(
    title: str,
    scenarios: Sequence[Mapping[str, Any]],
    value: Callable[[Mapping[str, Any]], float | None],
    text: Callable[[float], str],
    *,
    whiskers: bool,
) -> Any:
    """A panel for each scenario with a bar for each contender, each panel on its own scale."""
    from matplotlib.figure import Figure

    columns = 2 if len(scenarios) > 1 else 1
    lines = -(-len(scenarios) // columns)
    figure = Figure(figsize=(5.2 * columns, 0.7 + 2.0 * lines), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(scenarios) :]:
        panel.set_axis_off()
    for panel, scenario in zip(panels, scenarios, strict=False):
        simulated = " (simulated)" if scenario["kind"] == "budget" and whiskers else ""
        panel.set_title(_folded(scenario["name"]) + simulated)
        rows = [(row, known) for row in _ran(scenario) if (known := value(row)) is not None]
        top = max([row["max_s"] if whiskers else known for row, known in rows] or [0]) or 1
        panel.set_xlim(0, top * 1.22)
        panel.set_xticks([])
        panel.spines["bottom"].set_visible(False)
        for place, (row, known) in enumerate(rows):
            panel.barh(place, known, height=0.62, color=_COLOURS.get(row["name"], _DIM))
            end = known
            if whiskers:
                panel.plot([row["min_s"], row["max_s"]], [place, place], color=_INK, linewidth=1)
                end = row["max_s"]
            panel.text(end + top * 0.015, place, text(known), va="center", fontsize=8.5)
        panel.set_yticks(range(len(rows)), [row["name"] for row, _ in rows])
        panel.tick_params(axis="y", length=0)
        panel.set_ylim(max(len(rows), 5) - 0.4, -0.6)
    return figure


def _shares(title: str, asked: Sequence[tuple[str, float]]) -> Any:
    """A bar for each scenario."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 0.9 + 0.32 * len(asked)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    panel = figure.subplots()
    panel.barh(range(len(asked)), [share for _, share in asked], height=0.62, color=_COLOURS[OWN])
    for place, (_, share) in enumerate(asked):
        panel.text(share + 0.01, place, f"{share:.0%}", va="center", fontsize=8.5)
    panel.set_yticks(range(len(asked)), [name for name, _ in asked])
    panel.tick_params(axis="y", length=0)
    panel.set_xlim(0, 1.08)
    panel.set_xticks([])
    panel.spines["bottom"].set_visible(False)
    panel.invert_yaxis()
    return figure


def _folded(name: str) -> str:
    """A scenario's name on two lines."""
    size, _, kind = name.rpartition(", ")
    return f"{size},\n{kind}" if size else name


def _lines(over: str, steps: Sequence[Mapping[str, Any]]) -> Any:
    """A line for each contender: seconds by days or symbols, or microseconds a bar by bars."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    by_bar = over == "bars"
    figure = Figure(figsize=(7.4, 4.0), layout="constrained")
    panel = figure.subplots()
    panel.set_title(_series_title(over, steps), fontsize=12, fontweight="bold")
    names = dict.fromkeys(row["name"] for step in steps for row in _ran(step))
    for name in names:
        points = []
        for step in steps:
            for row in _ran(step):
                if row["name"] == name:
                    points.append((step[over], row["us_per_bar"] if by_bar else row["min_s"]))
        x, y = zip(*points, strict=True)
        width = 2.4 if name == OWN else 1.4
        panel.plot(x, y, marker="o", markersize=4, linewidth=width, color=_COLOURS.get(name, _DIM), label=name)
    panel.set_xscale("log")
    panel.set_xticks([step[over] for step in steps], [f"{step[over]:,}" for step in steps])
    panel.minorticks_off()
    if by_bar:
        panel.set_ylim(bottom=0)
    else:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _: seconds(value))
        panel.yaxis.set_minor_locator(NullLocator())
    panel.set_xlabel(over)
    panel.set_ylabel("microseconds a bar, best run" if by_bar else "best run, logarithmic")
    panel.grid(True, color=_GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _series_title(over: str, steps: Sequence[Mapping[str, Any]]) -> str:
    first = steps[0]
    fixed = f"{first['days']:,} days" if over != "days" else f"{first['symbols']} symbols"
    return f"Cold, {first['resolution']} bars, {fixed}, by {over}"
