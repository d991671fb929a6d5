"""Which names are exact, and which float."""

from __future__ import annotations

import pytest

from gateway_client.pinning import why_floating

EXACT = [
    "gpt-4.1-2025-04-14", "gpt-4o-mini-2024-07-18", "gpt-4-0613", "gpt-3.5-turbo-0125", "gpt-4-0125-preview",
    "o3-mini-2025-01-31", "text-embedding-3-small", "openai/gpt-4o-2024-08-06", "gpt-oss-20b",
    "claude-haiku-4-5-20251001", "claude-3-5-sonnet-20241022", "claude-opus-4-6", "claude-sonnet-5", "claude-opus-4-8",
    "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-opus-4-7", "claude-haiku-4-5@20251001",
    "Qwen/Qwen3-8B", "llama3.1:8b-instruct-q4_K_M", "mistral-large-2411",
]  # fmt: skip
FLOATING = [
    "gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-4-turbo", "gpt-5", "gpt-5-mini", "o3", "o3-mini", "openai/gpt-4o",
    "chatgpt-4o-latest", "claude-3-5-sonnet-latest", "llama3:latest", "mistral-large-latest", "LATEST",
    "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1", "claude-opus-4-0", "claude-opus-4", "claude-3-haiku",
    "claude-3.5-sonnet", "anthropic.claude-sonnet-4-5", "model:stable", "openrouter/auto", "gpt-5.4", "gpt-6-nano",
]  # fmt: skip


@pytest.mark.parametrize("version", EXACT)
def test_exact(version: str) -> None:
    assert why_floating(version) is None


@pytest.mark.parametrize("version", FLOATING)
def test_floating(version: str) -> None:
    assert why_floating(version)


def test_an_unknown_name_floats_once_a_dated_one_is_known() -> None:
    assert why_floating("mistral-large", ["mistral-small-2409"]) is None
    assert "mistral-large-2411" in str(
        why_floating("mistral-large", ["mistral-small-2409", "mistral-large-2411"])
    )
    assert why_floating("model-1", ["model-1-20260101", "model-1-big"])
    assert why_floating("model-1", ["model-1", "model-10-20260101", "model-1-big"]) is None
