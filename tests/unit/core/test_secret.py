"""A secret that never prints, and texts from which it is taken out."""

from __future__ import annotations

import copy
import json
import pickle
import string
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.secret import MASK, Secret, mask_secrets, without_secrets

KEY = "aB3+xYz/9 Q&=key"
ANY_KEY = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4).filter(lambda key: set(key) - {"*"})


class TestSecret:
    def test_never_prints(self) -> None:
        """No way of turning it into text shows it."""
        secret = Secret(KEY)
        for text in [
            str(secret),
            repr(secret),
            f"{secret}",
            f"{secret!s:>40}",
            f"{secret} {secret!r}",
            f"{[secret]}",
        ]:
            assert KEY not in text
            assert MASK in text

    def test_reveal(self) -> None:
        """Only `reveal` gives the value."""
        assert Secret(KEY).reveal() == KEY

    def test_cannot_be_pickled_or_written_as_json(self) -> None:
        """It cannot leave the process by accident."""
        for leave in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="a Secret cannot be pickled"):
                leave(Secret(KEY))
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(Secret(KEY))

    def test_no_dictionary(self) -> None:
        """It has no `__dict__` that a debugger's page or a serializer would walk through."""
        assert not hasattr(Secret(KEY), "__dict__")

    def test_equality(self) -> None:
        """Two secrets of one value are one; a text is no secret."""
        assert Secret(KEY) == Secret(KEY)
        assert hash(Secret(KEY)) == hash(Secret(KEY))
        assert Secret(KEY) != Secret("other")
        assert Secret(KEY) != KEY

    def test_hash_is_not_the_values(self) -> None:
        """The hash does not give away that a text is the secret."""
        assert hash(Secret(KEY)) != hash(KEY)

    def test_empty(self) -> None:
        """An empty secret is false, and shows that it is empty."""
        assert not Secret("")
        assert Secret(KEY)
        assert repr(Secret("")) == "Secret('')"


class TestMaskSecrets:
    @pytest.mark.parametrize(
        "spelling",
        [
            KEY,
            KEY.upper(),
            KEY.lower(),
            "aB3%2BxYz%2F9%20Q%26%3Dkey",
            "aB3%2BxYz%2F9+Q%26%3Dkey",
            "ab3%2bxyz%2f9%20q%26%3dkey",
            "AB3%2BXYZ%2F9+Q%26%3DKEY",
        ],
    )
    def test_spellings(self, spelling: str) -> None:
        """It is masked in any case, and URL-encoded in either way with digits of any case."""
        text = f"GET https://host/x?apiKey={spelling}&limit=5 failed"
        assert mask_secrets(text, [Secret(KEY)]) == f"GET https://host/x?apiKey={MASK}&limit=5 failed"

    def test_every_occurrence_of_every_secret(self) -> None:
        """All of them go, wherever they stand."""
        assert mask_secrets("one two ONE", [Secret("one"), Secret("two")]) == f"{MASK} {MASK} {MASK}"

    def test_nothing_to_mask(self) -> None:
        """Without secrets, or with an empty one, the text stays."""
        assert mask_secrets("text", []) == "text"
        assert mask_secrets("text", [Secret("")]) == "text"

    def test_no_pattern(self) -> None:
        """A secret is a text, not a pattern."""
        assert mask_secrets("abc a.c", [Secret("a.c")]) == f"abc {MASK}"

    @given(key=ANY_KEY)
    def test_any_key(self, key: str) -> None:
        """Whatever the key, no spelling of it is left."""
        for spelling in (key, quote(key, safe=""), quote_plus(key), urlencode({"k": key})[2:]):
            for text in (spelling, spelling.upper(), spelling.lower()):
                masked = mask_secrets(f"\u00e9{text}\u00e9", [Secret(key)])
                assert masked == f"\u00e9{MASK}\u00e9"

    @given(key=ANY_KEY, text=st.text(st.sampled_from("\u00e9\u00fc\u4e2d\n")))
    def test_other_text_stays(self, key: str, text: str) -> None:
        """What is no secret is left as it is."""
        assert mask_secrets(text, [Secret(key)]) == text


@given(st.text(string.ascii_letters + string.digits + "+/=_-. ", min_size=4, max_size=40), st.data())
def test_a_partly_encoded_secret_is_masked(key: str, data: st.DataObject) -> None:
    """Whichever characters of a secret are percent-encoded, nothing of it is left to read."""
    encoded = data.draw(st.lists(st.booleans(), min_size=len(key), max_size=len(key)))
    text = "".join(f"%{ord(letter):02x}" if hide else letter for letter, hide in zip(key, encoded, strict=True))

    assert mask_secrets(f"<{text}>", [Secret(key)]) == "<**********>"


def test_a_secret_within_another_leaves_no_rest() -> None:
    """The longer of two secrets is masked whole, in whatever order they are known."""
    assert mask_secrets("abcdefgh", [Secret("abcd"), Secret("abcdefgh")]) == "**********"


def test_variables_with_a_secret_are_left_out() -> None:
    """Whatever their name, also where the value is URL-encoded or only contains the secret."""
    environ = {"PATH": "/bin", "OTHER": f"key={quote(KEY, safe='')}", "POLYGON_API_KEY": KEY, "EMPTY": ""}

    assert without_secrets(environ, [Secret(KEY), Secret("")]) == {"PATH": "/bin", "EMPTY": ""}
    assert without_secrets(environ, []) == environ
