"""What a response other than 200 means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.errors import MalformedResponse, Misdirected, ProviderError, Rejected
from gateway_client.providers.anthropic import ANTHROPIC
from gateway_client.providers.failure import FailureKind, ProviderFailure
from gateway_client.providers.openai import OPENAI


def openai(status: int, **error: object) -> ProviderFailure:
    return OPENAI.failure(status, {}, json.dumps({"error": error}).encode())


def anthropic(status: int, kind: str, message: str = "") -> ProviderFailure:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return ANTHROPIC.failure(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "Invalid value: 'x'", "type": "invalid_request_error"}, "bad_request"),
        (400, {"message": "…", "code": "context_length_exceeded"}, "context_overflow"),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, "context_overflow"),
        (400, {"message": "Your prompt", "code": "content_policy_violation"}, "content_policy"),
        (400, {"message": "The response was filtered", "code": "content_filter"}, "content_policy"),
        (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, "authentication"),
        (403, {"message": "Country not supported"}, "permission"),
        (404, {"message": "no such model", "code": "model_not_found"}, "not_found"),
        (408, {"message": "timeout"}, "server_error"),
        (409, {"message": "conflict"}, "overloaded"),
        (425, {"message": "too early"}, "overloaded"),
        (413, {"message": "too big"}, "too_large"),
        (422, {"message": "unprocessable"}, "bad_request"),
        (429, {"message": "slow down", "code": "rate_limit_exceeded", "type": "tokens"}, "rate_limited"),
        (
            429,
            {"message": "Request too large for m: Limit 3, Requested 5", "code": "rate_limit_exceeded"},
            "too_large",
        ),
        (429, {"message": "quota", "code": "insufficient_quota", "type": "insufficient_quota"}, "quota"),
        (500, {"message": "oops"}, "server_error"),
        (502, {}, "server_error"),
        (503, {"message": "overloaded"}, "overloaded"),
        (529, {}, "overloaded"),
        (302, {}, "redirect"),
        (307, {}, "redirect"),
        (204, {}, "malformed"),
    ],
)
def test_openai_s(status: int, error: dict[str, Any], kind: str) -> None:
    assert openai(status, **error).kind == kind


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", "bad_request"),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 205000 tokens > 200000 maximum",
            "context_overflow",
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit",
            "context_overflow",
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", "content_policy"),
        (401, "authentication_error", "invalid x-api-key", "authentication"),
        (402, "billing_error", "", "quota"),
        (403, "permission_error", "", "permission"),
        (404, "not_found_error", "model: claude-x", "not_found"),
        (413, "request_too_large", "", "too_large"),
        (429, "rate_limit_error", "", "rate_limited"),
        (429, "overloaded_error", "", "overloaded"),
        (500, "api_error", "", "server_error"),
        (504, "timeout_error", "", "server_error"),
        (529, "overloaded_error", "Overloaded", "overloaded"),
        (307, "", "", "redirect"),
    ],
)
def test_anthropic_s(status: int, type_: str, message: str, kind: str) -> None:
    assert anthropic(status, type_, message).kind == kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>nginx</html>",
        b"null",
        b"[1]",
        b'{"error": "text"}',
        b'{"detail": "x"}',
        b"\xff",
        b'{"error": 7}',
    ],
)
def test_bodies_of_any_kind_are_classified_by_status(body: bytes) -> None:
    for provider in (OPENAI, ANTHROPIC):
        assert provider.failure(503, {}, body).kind == "overloaded"
        assert provider.failure(400, {}, body).kind == "bad_request"


@given(st.integers(200, 599), st.binary(max_size=60))
def test_nothing_breaks_the_classification(status: int, body: bytes) -> None:
    for provider in (OPENAI, ANTHROPIC):
        assert isinstance(provider.failure(status, {}, body).error(), ProviderError)


def test_vllm_s_flat_error() -> None:
    body = b'{"object": "error", "message": "maximum context length is 4096", "type": "BadRequestError", "code": 400}'
    found = OPENAI.failure(400, {}, body)
    assert (found.kind, found.code) == (FailureKind.CONTEXT_OVERFLOW, "400")


def test_which_may_be_tried_again_and_by_whom() -> None:
    again = {kind for kind in FailureKind if kind.retryable}
    assert again == {
        FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.SERVER_ERROR, FailureKind.MALFORMED,
    }  # fmt: skip
    assert {kind for kind in FailureKind if kind.fails_over} == again | {FailureKind.CONTEXT_OVERFLOW}
    assert not FailureKind.RATE_LIMITED.trips_breaker
    assert FailureKind.SERVER_ERROR.trips_breaker
    assert not FailureKind.CONTENT_POLICY.fails_over


@pytest.mark.parametrize(
    ("status", "free"),
    [
        (400, True),
        (401, True),
        (429, True),
        (307, True),
        (408, False),
        (500, False),
        (503, False),
        (200, False),
    ],
)
def test_only_a_no_before_the_work_is_certainly_free(status: int, free: bool) -> None:
    assert openai(status).free == free


def test_the_error_says_who_what_and_which_status() -> None:
    error = openai(429, message="slow\n down", code="rate_limit_exceeded").error()
    assert isinstance(error, Rejected)
    assert str(error) == "openai answered 429 (rate_limit_exceeded), rate limited: slow down"
    assert (error.kind, error.status) == ("rate_limited", 429)
    assert isinstance(openai(302).error(), Misdirected)
    assert isinstance(openai(204).error(), MalformedResponse)


def test_a_message_is_short_and_without_keys() -> None:
    found = openai(401, message="Incorrect API key provided: sk-proj-abcdefghijklmnop. " + "x" * 5000)
    assert "abcdefghijklmnop" not in found.message
    assert len(found.message) == 300
