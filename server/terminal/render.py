"""Prints lines, figures, calendars of trading days and equity curves on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.data_download.availability import DayState

_GLYPHS = {
    DayState.PRESENT: ("■", "green"),
    DayState.PROVISIONAL: ("◧", "yellow"),
    DayState.EMPTY: ("·", "bright_black"),
    DayState.DAMAGED: ("!", "bold magenta"),
    DayState.MISSING: ("□", "red"),
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
_FRIDAY = 4
_MONTH_WIDTH = len("Jan ")
_DAY_WIDTH = len("2024-01-31")
_EQUITY_WIDTH, _EQUITY_HEIGHT = 66, 11


def console() -> Console:
    """Return standard output, which wraps lines between words on a terminal and does not wrap them elsewhere."""
    found = Console(highlight=False, markup=False, emoji=False)
    found.soft_wrap = not found.is_terminal
    return found


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text."""
    out = console()
    for line in lines:
        out.print(line)


def print_figures(figures: Mapping[str, str]) -> None:
    """Print figures by name, in two columns of rows on a terminal."""
    out = console()
    rows = list(figures.items())
    columns = 2 if out.is_terminal else 1
    height = -(-len(rows) // columns)
    table = Table(show_header=False, box=None, padding=(0, 2))
    for _ in range(columns):
        table.add_column()
        table.add_column(justify="right")
    for row in range(height):
        table.add_row(*(text for pair in rows[row::height] for text in pair))
    out.print(table)


def print_calendar(title: str, states: Mapping[date, DayState], below: str = "") -> None:
    """Print a calendar of trading days, a column a week and a block a year, the counts, and a line below."""
    out = console()
    counts = Counter(states.values())
    header = Text(title, style="bold")
    for state, (glyph, style) in _GLYPHS.items():
        if counts[state]:
            header.append(f"   {glyph} ", style=style)
            header.append(f"{counts[state]:,} {state.value}", style="not bold")
    out.print(header)
    for year in sorted({day.year for day in states}):
        for line in year_lines(year, {day: state for day, state in states.items() if day.year == year}):
            out.print(line)
    if below:
        out.print(Text(below, style="bright_black"))
    out.print()


def year_lines(year: int, states: Mapping[date, DayState]) -> list[Text]:
    """Return one year: a line of months, then a line for each weekday with a glyph for each week's trading day."""
    first, last = min(states), max(states)
    monday = first - timedelta(days=first.weekday())
    weeks = (last - monday).days // 7 + 1
    lines = [Text(f"{year}  " + _months(monday, last), style="bright_black")]
    for weekday, name in enumerate(_WEEKDAYS):
        line = Text(f"{name:>4}  ", style="bright_black")
        for week in range(weeks):
            state = states.get(monday + timedelta(days=7 * week + weekday))
            line.append(*(_GLYPHS[state] if state else (" ", "")))
        lines.append(line)
    return lines


def _months(monday: date, last: date) -> str:
    """The name of each month above its first week, and that of the first one above the first column."""
    fridays = [min(monday + timedelta(days=day + 4), last) for day in range(0, (last - monday).days + 1, 7)]
    begins = [week for week, friday in enumerate(fridays) if friday.day <= 7 and friday.weekday() == _FRIDAY]
    if not begins or begins[0] >= _MONTH_WIDTH:
        begins.insert(0, 0)
    text = ""
    for week in begins:
        text = text.ljust(week) + f"{fridays[week]:%b}"
    return text


def print_equity(dates: Sequence[date], values: Sequence[float], title: str) -> None:
    """Print an equity curve in dollars in braille dots: green if it does not end below its start, else red."""
    import plotille

    labels = [f"{value:,.0f}" for value in (max(values), (max(values) + min(values)) / 2, min(values))]
    gutter = max(len(label) for label in labels) + 2
    out = console()
    width = max(min(out.width - gutter - 3, _EQUITY_WIDTH), _DAY_WIDTH)
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or 1.0
    canvas = plotille.Canvas(width, _EQUITY_HEIGHT, 0, low - margin, max(len(values) - 1, 1), high + margin)
    for position, (before, after) in enumerate(pairwise(values)):
        canvas.line(position, before, position + 1, after)
    style = "green" if values[-1] >= values[0] else "red"
    middle, bottom = _EQUITY_HEIGHT // 2, _EQUITY_HEIGHT - 1
    labelled = {0: labels[0], middle: labels[1], bottom: labels[2]} if high > low else {middle: labels[1]}
    out.print(Text(title, style="bold"))
    for row, dots in enumerate(canvas.plot().splitlines()):
        label = labelled.get(row, "")
        line = Text(f"{label:>{gutter}} {'┤' if label else '│'}", style="bright_black")
        out.print(line.append(dots.rstrip("\N{BRAILLE PATTERN BLANK} "), style=style))
    out.print(Text(f"{'':{gutter}} └{'─' * width}", style="bright_black"))
    out.print(Text(f"{'':{gutter}}  {_days_below(dates, width)}", style="bright_black"))


def _days_below(dates: Sequence[date], width: int) -> str:
    """The days that fit below the curve, the first at its left end and the last at its right end."""
    count = max(2, min(len(dates), width // (2 * _DAY_WIDTH)))
    text = ""
    for number in range(count):
        position = round((len(dates) - 1) * number / (count - 1))
        middle = round((width - 1) * position / max(len(dates) - 1, 1))
        text = text.ljust(min(max(middle - _DAY_WIDTH // 2, 0), width - _DAY_WIDTH)) + str(dates[position])
    return text
