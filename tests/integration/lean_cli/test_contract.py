"""The provider lean-cli keeps the contract."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.secret import Secret
from server.data_download.locks import STATE_FOLDER
from server.data_download.provider import ProviderContext
from server.lean.series import Resolution
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.provider import LeanCliProvider
from tests.support import fake_lean
from tests.support.harness import calendar, sessions
from tests.support.provider_contract import ProviderContract, Subject

KEY = "pQ9secretKEY+of/mine"
DAYS = sessions(date(2024, 1, 9), 4)


class TestLeanCli(ProviderContract):
    """With a fake `lean` that has the real one's habits."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        lean = fake_lean.install(tmp_path / "bin")
        lean.behave(no_data=["NONE"])
        (tmp_path / "lean.json").write_text(json.dumps({"data-folder": "data", "organization-id": "abc"}))
        data = tmp_path / "data"
        data.mkdir()

        def open_provider(cancel: CancelToken) -> LeanCliProvider:
            context = ProviderContext(
                calendar=calendar(),
                data_folder=data,
                state_folder=data / STATE_FOLDER,
                clock=lambda: datetime(2024, 6, 3, 12, tzinfo=UTC),
                cancel=cancel,
            )
            config = LeanCliConfig(api_key=Secret(KEY))
            return LeanCliProvider(config, context, environment={"PATH": lean.path, "HOME": str(tmp_path)})

        return Subject(
            open=open_provider,
            symbol="SPY",
            days=tuple(DAYS),
            resolutions=(Resolution.MINUTE, Resolution.DAILY),
            without="NONE",
            secret=KEY,
            slow=lambda: lean.behave("hang"),
            broken=lambda: lean.behave("licence"),
            contacts=lambda: len(lean.calls),
        )
