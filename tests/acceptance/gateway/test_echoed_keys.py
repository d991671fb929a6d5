"""A provider that repeats the key that it was sent: it is in no error, no record and no log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_client.errors import ProviderError
from tests.support.gateway_raw_calls import call
from tests.support.gateway_raw_server import event_stream, http, message_start, say

KEYS = {
    "groq": "gsk_secretkey1234567890abcdef",
    "openai": "sk-proj-A1b2C3d4E5f6G7h8-secret_key",
    "anthropic": "sk-ant-api03-secretkey1234567890",
    "hexadecimal": "0123456789abcdef0123456789abcdef",
    "letters": "AbCdEfGhIjKlMnOpQrStUvWx",
    "punctuation": "team:pass/word+key==",
    "short": "hunter2",
}
VARIABLE = "A_PROVIDER_S_KEY"


def echoing(key: str) -> dict[str, Any]:
    said = f"Incorrect API key provided: {key}. Find yours elsewhere."
    return {"type": "error", "error": {"message": said, "type": f"bad {key}", "code": f"bad:{key}"}}


def sent(where: str, key: str) -> tuple[str, str, bytes]:
    """Model, way, and what it is answered."""
    return {
        "401": ("o", "chat", http(echoing(key), status=401)),
        "500": ("o", "chat", http(echoing(key), status=500)),
        "anthropic": ("a", "chat", http(echoing(key), status=401)),
        "anthropic_s_stream": ("a", "stream", event_stream(message_start(), echoing(key))),
        "openai_s_stream": ("o", "stream", event_stream({"error": echoing(key)["error"]}, done=b"")),
        "a_body_of_200": ("o", "chat", http(echoing(key))),
        "text": ("o", "chat", http({"error": f"no such key: {key}"}, status=401)),
    }[where]


@pytest.mark.parametrize(
    ("where", "shape"),
    [
        *(("401", shape) for shape in KEYS),
        *((where, shape) for where in ("anthropic", "text") for shape in ("groq", "punctuation")),
    ],
)
def test_a_key_of_any_shape_is_told_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, shape: str, where: str
) -> None:
    check(tmp_path, monkeypatch, caplog, where, KEYS[shape])


@pytest.mark.parametrize("shape", ["groq", "letters"])
@pytest.mark.parametrize("where", ["500", "anthropic_s_stream", "openai_s_stream", "a_body_of_200"])
def test_nor_where_the_error_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, shape: str
) -> None:
    check(tmp_path, monkeypatch, caplog, where, KEYS[shape])


def check(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, key: str
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    model, way, answer = sent(where, key)
    found = call(say(answer), folder, way=way, model=model, key=VARIABLE, deadline=0.8)
    assert found.error is not None
    told: BaseException | None = found.error
    while told is not None:
        assert key not in str(told) + repr(told)
        told = told.__cause__
    assert key not in found.written()
    assert key not in caplog.text


def test_the_rest_of_the_message_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEYS["groq"])
    found = call(say(http(echoing(KEYS["groq"]), status=401)), tmp_path, key=VARIABLE)
    assert isinstance(found.error, ProviderError)
    assert "Incorrect API key provided" in str(found.error)
    assert found.error.kind == "authentication"
