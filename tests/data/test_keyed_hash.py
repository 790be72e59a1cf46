"""Keyed hashes are HMAC-SHA-256, as the standard library has it."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.data.keyed_hash import KeyedHash


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_it_is_what_the_standard_library_makes(secret, text):
    expected = hmac.digest(secret, text, "sha256").hex()
    assert KeyedHash(secret).hexdigest(text) == expected
    assert KeyedHash(secret).hexdigests(text[:7], [text[7:], text[7:]]) == [expected, expected]


def test_a_secret_that_would_have_to_be_hashed_is_refused():
    with pytest.raises(ValueError, match="65 bytes, at most 64"):
        KeyedHash(b"s" * 65)
