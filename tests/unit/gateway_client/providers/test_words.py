"""What is told of a provider's words: enough to act on, nothing that was not ours to tell."""

from __future__ import annotations

import pytest

from gateway_client.providers.wire import LONGEST_MESSAGE, shortened, whole_characters


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Incorrect API key provided: sk-proj-abc123def", "Incorrect API key provided: sk-…"),
        ("gsk_abcdef123456 is no key", "gsk-… is no key"),
        ("Invalid value: 'systm'. Supported: 'system', 'user'", "Invalid value: 'systm'. Supported: 'system', 'user'"),
        ("Invalid content: 'the patient is called Zaphod Beeblebrox'", "Invalid content: '…'"),
        ('got "the patient is called Zaphod Beeblebrox", which', 'got "…", which'),
        ("it can't be read, since what was sent isn't JSON", "it can't be read, since what was sent isn't JSON"),
        ("two\n  lines", "two lines"),
        (None, ""),
    ],
)  # fmt: skip
def test_keys_and_quotations_are_left_out(said: object, told: str) -> None:
    assert shortened(said) == told


def test_it_is_short() -> None:
    assert len(shortened("word " * 1000)) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("plain", "plain"),
        ("é€😀", "é€😀"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00b", "\ufffdb"),
    ],
)
def test_half_a_character_is_none(value: str, whole: str) -> None:
    assert whole_characters(value) == whole
