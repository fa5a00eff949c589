"""Pictures in the terminal: a calendar of trading days, and an equity curve."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from rich.console import Console
from rich.text import Text

from server.data_download.availability import DayState

_LOOK = {
    DayState.PRESENT: ("■", "green"),
    DayState.PROVISIONAL: ("◧", "yellow"),
    DayState.EMPTY: ("·", "bright_black"),
    DayState.DAMAGED: ("!", "bold magenta"),
    DayState.MISSING: ("□", "red"),
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
_MONTH_WIDTH = 4


def print_calendar(title: str, states: Mapping[date, DayState]) -> None:
    """Print a calendar of trading days, a column a week and a block a year, and the counts."""
    console = Console(highlight=False, soft_wrap=True)
    counts = Counter(states.values())
    header = Text(title, style="bold")
    for state, (glyph, style) in _LOOK.items():
        if counts[state]:
            header.append(f"   {glyph} ", style=style)
            header.append(f"{counts[state]:,} {state.value}", style="not bold")
    console.print(header)
    for year in sorted({day.year for day in states}):
        for line in year_lines(year, {day: state for day, state in states.items() if day.year == year}):
            console.print(line)
    console.print()


def year_lines(year: int, states: Mapping[date, DayState]) -> list[Text]:
    """One year: a line of months, then a line for each weekday with a glyph for each week's trading day."""
    first, last = min(states), max(states)
    monday = first - timedelta(days=first.weekday())
    weeks = (last - monday).days // 7 + 1
    lines = [Text(f"{year}  " + _months(monday, weeks), style="bright_black")]
    for weekday, name in enumerate(_WEEKDAYS):
        line = Text(f"{name:>4}  ", style="bright_black")
        for week in range(weeks):
            state = states.get(monday + timedelta(days=7 * week + weekday))
            line.append(*(_LOOK[state] if state else (" ", "")))
        lines.append(line)
    return lines


def _months(monday: date, weeks: int) -> str:
    text = ""
    for week in range(weeks):
        friday = monday + timedelta(days=7 * week + 4)
        if len(text) <= week:
            begins = friday.day <= 7 or week == 0
            text += f"{friday:%b} " if begins and (weeks - week >= 3 or week == 0) else " "
    return text.rstrip()


def print_equity(dates: Sequence[date], values: Sequence[float], title: str, width: int = 72, height: int = 12) -> None:
    """Print an equity curve: dollars over days, drawn in braille dots."""
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = max(min(width, Console().width - 20), 20), height
    figure.color_mode = "names"
    figure.with_colors = sys.stdout.isatty()
    figure.x_label, figure.y_label = "days", "dollars"
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.01 or 1.0
    figure.set_y_limits(low - margin, high + margin)
    figure.set_x_limits(0, max(len(values) - 1, 1))
    figure.x_ticks_fkt = lambda least, most: f"{dates[min(max(round(least), 0), len(dates) - 1)]:%y-%m-%d}"
    figure.y_ticks_fkt = lambda least, most: f"{least:,.0f}"
    figure.plot(list(range(len(values))), list(values), lc="green", interp="linear")
    print(title)
    print(figure.show())
