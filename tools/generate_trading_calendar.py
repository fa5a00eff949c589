"""Write the holidays and early closes of US equities from exchange_calendars' calendar XNYS.

python tools/generate_trading_calendar.py            # the years that the file has
python tools/generate_trading_calendar.py --to 2032  # through 2032
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from server.lean.series import NEW_YORK
from server.trading_calendar import CALENDAR_FILE, CLOSED, FIRST_DAY, REGULAR_CLOSE, USEquityTradingCalendar

HEADER = """\
# US equities trade Monday to Friday, 09:30 to 16:00 New York, except on these days:
# YEAR closed MM-DD ...   no session
# YEAR HH:MM MM-DD ...    the session closes early, at HH:MM New York
# Written by tools/generate_trading_calendar.py; do not edit.
"""


def year_lines(year: int, calendar: USEquityTradingCalendar) -> Iterator[str]:
    """Yield the lines of one year: its holidays, then its early closes by time."""
    exceptions: defaultdict[str, list[str]] = defaultdict(list)
    day = date(year, 1, 1)
    while day.year == year:
        if day < FIRST_DAY or not calendar.is_trading_day(day):
            kind = CLOSED if day.weekday() < 5 else ""
        else:
            close = calendar.session_close(day).astimezone(NEW_YORK).time()
            kind = f"{close:%H:%M}" if close != REGULAR_CLOSE else ""
        if kind:
            exceptions[kind].append(f"{day:%m-%d}")
        day += timedelta(days=1)
    for kind in sorted(exceptions, key=lambda kind: (kind != CLOSED, kind)):
        yield f"{year} {kind} {' '.join(exceptions[kind])}\n"


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=int, metavar="YEAR", help="last year; default: that of the existing file")
    parser.add_argument("--output", type=Path, default=CALENDAR_FILE, help="default: the file of the package")
    options = parser.parse_args()
    last_year = options.to or USEquityTradingCalendar.shipped().last_day.year
    calendar = USEquityTradingCalendar.computed(date(last_year, 12, 31))
    lines = (line for year in range(FIRST_DAY.year, last_year + 1) for line in year_lines(year, calendar))
    options.output.write_text(HEADER + "".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
