"""What headers tell about limits and waiting."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.providers.anthropic import ANTHROPIC
from gateway_client.providers.openai import OPENAI
from gateway_client.providers.rate_limits import LONGEST_WAIT, RateLimit, duration, retry_after

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "Wednesday"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "999999999"}, LONGEST_WAIT),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    assert OPENAI.retry_after(headers, NOW) == ANTHROPIC.retry_after(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_no_header_breaks_it(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        found = retry_after({name: text}, NOW)
        assert found is None or 0 <= found <= LONGEST_WAIT
    assert duration(text) is None or duration(text) >= 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1m30.951s", 90.951),
        ("1d", 86400.0),
        ("12", 12.0),
        ("", None),
        (None, None),
        ("1x", None),
        ("s", None),
    ],
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert duration(text) == (pytest.approx(seconds) if seconds is not None else None)


def test_openai_s_headers() -> None:
    headers = httpx.Headers(
        {
            "X-RateLimit-Limit-Requests": "60",
            "X-RateLimit-Remaining-Requests": "59",
            "X-RateLimit-Reset-Requests": "1s",
            "X-RateLimit-Limit-Tokens": "150000",
            "X-RateLimit-Remaining-Tokens": "149984",
            "X-RateLimit-Reset-Tokens": "6m0s",
        }
    )
    found = OPENAI.rate_limits(headers)
    assert found.requests == RateLimit(60, 59, 1.0)
    assert found.tokens == RateLimit(150_000, 149_984, 360.0)
    assert not found.input_tokens


def test_anthropic_s_headers_by_the_provider_s_own_clock() -> None:
    found = ANTHROPIC.rate_limits(
        {
            "date": formatdate(NOW, usegmt=True),
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:25Z",
            "anthropic-ratelimit-input-tokens-limit": "400000",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-output-tokens-limit": "80000",
        }
    )
    assert found.requests == RateLimit(4000, 3999, 5.0)
    assert found.input_tokens == RateLimit(400_000, 0, None)
    assert found.output_tokens.limit == 80_000
    assert not found.tokens


@pytest.mark.parametrize("nonsense", ["-1", "many", "1e3", "²", "", "9" * 30])
def test_nonsense_is_no_limit(nonsense: str) -> None:
    assert not OPENAI.rate_limits({"x-ratelimit-limit-requests": nonsense, "x-ratelimit-reset-tokens": "??"})
    assert not ANTHROPIC.rate_limits({"anthropic-ratelimit-tokens-limit": nonsense})
