"""META, an ETF's ticker before it was the company's, as the vendor serves both."""

from __future__ import annotations

from typing import Any

from tests.support.corporate_rig import CorporateRig, RigOn, at
from tests.support.polygon_server import PolygonServer
from tests.support.reference_data import ReferenceData
from tests.support.share_market import daily_market, level, sessions

ETF_DAYS, META_DAYS = sessions("2021-07-01", "2022-01-28"), sessions("2022-06-09", "2022-07-29")
MARKET = daily_market({"META": {**level(ETF_DAYS, 12.5), **level(META_DAYS, 184)}})
FIRST, LAST = ETF_DAYS[0], META_DAYS[-1]
ETF: dict[str, Any] = {
    "name": "Roundhill Ball Metaverse ETF",
    "delisted": "2022-01-31",
    "held": (ETF_DAYS[0], "2022-01-30"),
}
COMPANY: dict[str, Any] = {"name": "Meta Platforms, Inc. Class A Common Stock", "since": "2012-05-18"}
META_MAP = "20220609,meta,Q\n20501231,meta,Q\n"
JOINED_MAP = "20120518,meta,Q\n20501231,meta,Q\n"


def meta(*, figis: bool = True, **options: Any) -> ReferenceData:
    """META, whose list of events is 404: an ETF had the ticker until 2022-01-28; the company's list_date is FB's."""
    data = ReferenceData(**options)
    data.listed("META", **ETF, composite_figi="BBG011Z0L1T8" if figis else "")
    held = "2022-06-09", "2030-01-01"
    data.listed("META", held=held, **COMPANY, composite_figi="BBG000MM2P62" if figis else "")
    data.dividend("META", "2021-12-20", "0.10")  # of the ETF
    return data


def downloaded(rig_on: RigOn, reference: ReferenceData, **options: Any) -> tuple[CorporateRig, PolygonServer, Any]:
    """Download all of it into an empty folder."""
    rig, server = rig_on(reference, options.pop("market", MARKET), **options)
    rig.now = at("2022-08-15")
    report = rig.download("META", FIRST, LAST)
    assert report.complete
    assert report.days_downloaded == len(ETF_DAYS) + len(META_DAYS)
    return rig, server, report
