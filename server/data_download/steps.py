"""Work that accompanies a download of bars, such as finding ticker changes and building factor files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from server.core.cancel import CancelToken
from server.core.events import EventStream
from server.data_download.findings import Findings
from server.data_download.report import CorporateFiles
from server.data_download.request import DownloadRequest


class DownloadStep(Protocol):
    """One such step. It raises nothing: what fails becomes a notice."""

    def before(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> bool:
        """Called with the symbols of which days are missing, before they are fetched.

        Returns:
            Whether the ticker of a symbol on some day is now another one, so that the plan has to be made again.
        """

    def after(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> tuple[CorporateFiles, ...]:
        """Called at the end with the symbols that have all their days; returns the files that it built."""

    def findings(self, request: DownloadRequest) -> Findings:
        """Called last: what is known about the symbols of a request on its days. Sends nothing."""
