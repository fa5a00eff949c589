"""A provider as the host uses it: opened once, and isolated from the host's errors.

A provider may be anyone's code. An exception of its own becomes a `ProviderError` that names it; the traceback goes to
the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from attrs import field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.secret import Secret, mask_secrets
from server.data_download.errors import ProviderError
from server.data_download.provider import DataProvider


@frozen
class HostedProvider:
    """A provider under the name it was chosen by, not yet opened.

    Attributes:
        open_provider: Creates the provider.
        check_settings: Raises where its settings do not let it fetch at all; opens nothing.
        secrets: Values that must not appear in the text of its errors.
    """

    name: str
    open_provider: Callable[[CancelToken], DataProvider]
    check_settings: Callable[[], object] = lambda: None
    secrets: Sequence[Secret] = field(default=(), repr=False)

    def check(self) -> None:
        """Check that the provider can be used.

        Raises:
            BacktestServerError: Why it cannot.
        """
        with self.isolated("checking its settings"):
            self.check_settings()

    def open(self, cancel: CancelToken) -> DataProvider:
        """Create the provider.

        Raises:
            BacktestServerError: It cannot be created.
        """
        with self.isolated("being opened"):
            return self.open_provider(cancel)

    @contextmanager
    def isolated(self, doing: str) -> Iterator[None]:
        """Turn an exception of the provider's own into a `ProviderError`.

        Args:
            doing: What the provider was doing: "fetching".
        """
        try:
            yield
        except BacktestServerError:
            raise
        except Exception as error:
            from loguru import logger

            logger.bind(provider=self.name).opt(exception=error).error(
                "the provider {} raised {} while {}", self.name, type(error).__name__, doing
            )
            what = mask_secrets(" ".join(f"{type(error).__name__}: {error}".split()), self.secrets)
            raise ProviderError(
                f"the provider {self.name} failed while {doing} ({what}); the log has the traceback, "
                "report it to the provider's authors"
            ) from error
