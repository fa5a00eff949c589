"""What tests of corporate actions share: a plain calendar, and the public record of Apple's events."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

from server.corporate_actions.model import Dividend, Events, Split
from server.trading_calendar import FIRST_DAY, USEquityTradingCalendar

LAST_DAY = date(2026, 12, 31)


def weekdays() -> USEquityTradingCalendar:
    """A calendar in which each weekday from 1998 to 2026 is a session."""
    span = (FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1))
    return USEquityTradingCalendar([day for day in span if day.weekday() < 5], {}, LAST_DAY)


def dividend(ex_date: str, amount: str) -> Dividend:
    return Dividend(ex_date=date.fromisoformat(ex_date), amount=Decimal(amount))


def split(ex_date: str, new: str, old: str = "1") -> Split:
    """``split("2020-08-31", "4")``: four for one."""
    return Split(ex_date=date.fromisoformat(ex_date), new=Decimal(new), old=Decimal(old))


# As the company announced them: dollars per share as it was on the ex-date.
_APPLE_DIVIDENDS = """\
2012-08-09 2.65   2012-11-07 2.65   2013-02-07 2.65   2013-05-09 3.05   2013-08-08 3.05   2013-11-06 3.05
2014-02-06 3.05   2014-05-08 3.29   2014-08-07 0.47   2014-11-06 0.47   2015-02-05 0.47   2015-05-07 0.52
2015-08-06 0.52   2015-11-05 0.52   2016-02-04 0.52   2016-05-05 0.57   2016-08-04 0.57   2016-11-03 0.57
2017-02-09 0.57   2017-05-11 0.63   2017-08-10 0.63   2017-11-10 0.63   2018-02-09 0.63   2018-05-11 0.73
2018-08-10 0.73   2018-11-08 0.73   2019-02-08 0.73   2019-05-10 0.77   2019-08-09 0.77   2019-11-07 0.77
2020-02-07 0.77   2020-05-08 0.82   2020-08-07 0.82   2020-11-06 0.205  2021-02-05 0.205"""

APPLE = Events(
    splits=(split("2000-06-21", "2"), split("2005-02-28", "2"), split("2014-06-09", "7"), split("2020-08-31", "4")),
    dividends=tuple(dividend(*pair) for pair in re.findall(r"(\S+) (\S+)", _APPLE_DIVIDENDS)),
)
