"""The vendor's lists that tests of its faults share."""

from __future__ import annotations

from datetime import date

import pytest

from tests.support.reference_data import ReferenceData


@pytest.fixture
def data() -> ReferenceData:
    """Three splits in answers of two, and a dividend."""
    made = ReferenceData(page_size=2)
    for year in (2005, 2014, 2020):
        made.split("AAPL", date(year, 6, 9), 1, 2)
    made.dividend("AAPL", date(2014, 2, 6), "3.05")
    made.renamed(("FB", date(2012, 5, 18)), ("META", date(2022, 6, 9)))
    made.listed("AAPL")
    return made
