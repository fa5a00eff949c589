"""Secrets are masked in the log and in printed text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from server.core.secret import Secret
from server.observability import backtest_logger, configure_logging, log_setup
from server.observability.log_setup import Masker

KEY = "aB3+xYz/9 Q&=key"


def spellings(key: str) -> list[str]:
    encoded = [key, quote(key, safe=""), quote_plus(key)]
    return [*encoded, *(one.upper() for one in encoded), *(one.lower() for one in encoded)]


class TestSecrets:
    def test_everywhere(self, tmp_path: Path) -> None:
        """A secret is in no message, bound value, exception or chained cause, however it is spelt."""
        lines: list[str] = []
        configure_logging(state_folder=tmp_path, sink=lines.append, secrets=[Secret(KEY)])
        for spelling in spellings(KEY):
            log = backtest_logger.bind(
                url=f"https://x/?apiKey={spelling}", deep={"a": [spelling]}, error=OSError(spelling)
            )
            try:
                try:
                    raise ValueError(f"cause {spelling}")
                except ValueError as cause:
                    raise RuntimeError(f"bad {spelling}") from cause
            except RuntimeError:
                log.opt(exception=True).error("failed at {}", spelling)
            log.info(spelling)
        text = (tmp_path / "logs" / "backtest-server.jsonl").read_text() + "\n".join(lines)
        for spelling in spellings(KEY):
            assert spelling.lower() not in text.lower()
        assert "RuntimeError: bad **********" in text
        assert "ValueError: cause **********" in text

    def test_other_sinks(self) -> None:
        """A sink that other code adds to the logger receives masked records, exceptions included."""
        configure_logging(state_folder=None, stderr=False, secrets=[Secret(KEY)])
        texts: list[str] = []
        logger.add(texts.append, diagnose=True, backtrace=True)
        try:
            raise ValueError(KEY)
        except ValueError:
            logger.exception(f"x {KEY}")
        assert "x **********" in texts[0]
        assert KEY not in texts[0]

    def test_added_later(self) -> None:
        """A secret that becomes known later is masked from then on, in the log and in printed text."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        log_setup.add_secret(Secret(KEY))
        log_setup.add_secret(Secret(""))
        backtest_logger.info(f"key {KEY}")
        assert lines[0].endswith("key **********")
        assert log_setup.mask(f"wrong key {KEY.upper()}") == "wrong key **********"

    def test_known_before(self) -> None:
        """A secret that is added before the log is configured is masked."""
        log_setup.add_secret(Secret(KEY))
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info(KEY)
        assert lines[0].endswith(" **********")

    def test_secret_within_a_secret(self) -> None:
        """Two secrets of which one is part of the other are masked completely."""
        masker = Masker()
        masker.add(Secret("abcd"))
        masker.add(Secret("abcdefgh"))
        assert masker.text("abcdefgh abcd") == "********** **********"

    @given(
        key=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4),
        before=st.text(st.sampled_from("{}<>\u00e9 ")),
        after=st.text(st.sampled_from("{}<>\u00e9 ")),
    )
    def test_any_key(self, key: str, before: str, after: str) -> None:
        """No spelling of any key remains between other text."""
        if set(key) <= set(before + after + "*"):
            return
        masker = Masker()
        masker.add(Secret(key))
        for spelling in spellings(key):
            masked = masker.value({"url": [before + spelling + after]})["url"][0]
            assert spelling.lower() not in masked.lower()
