"""Options: one list for both clients, checked before anything is begun."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import InvalidCall
from gateway_client.lanes import Lane
from gateway_client.messages import Message
from gateway_client.options import CallOptions, ChatOptions, EmbedOptions, StreamOptions, takes
from gateway_client.sync import SyncGatewayClient

SHARED = (
    "tenant",
    "model",
    "lane",
    "feature",
    "deadline",
    "idempotency_key",
    "on_unknown",
    "run",
    "request_id",
)
CHAT: dict[str, Any] = {
    "tenant": "acme", "model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5,
}  # fmt: skip


@pytest.mark.parametrize("name", ["chat", "stream", "embed"])
def test_both_clients_show_the_same_options_by_name(name: str) -> None:
    own, other = (inspect.signature(getattr(of, name)) for of in (GatewayClient, SyncGatewayClient))
    assert own.parameters == other.parameters
    assert set(SHARED) < set(own.parameters)
    named = [one for one in own.parameters.values() if one.name != "self"]
    assert {one.kind for one in named} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "given",
    [{**CHAT, "modle": "x"}, {k: v for k, v in CHAT.items() if k != "max_tokens"}],
    ids=["wrong", "less"],
)
def test_a_misspelt_or_missing_option_is_a_type_error_at_once(given: dict[str, Any]) -> None:
    for client in (GatewayClient, SyncGatewayClient):
        with pytest.raises(TypeError, match=r"modle|max_tokens"):
            client.chat(object(), **given)  # type: ignore[arg-type]


def test_a_method_takes_its_options() -> None:
    class Client:
        @takes(EmbedOptions)
        def embed(self, options: EmbedOptions) -> EmbedOptions:
            """Embeds."""
            return options

    found = Client().embed(tenant="acme", model="m", texts=["a"])
    assert (found.lane, found.feature, found.on_unknown) == (Lane.BATCH, "embed", "fail")
    assert Client.embed.__doc__ == "Embeds."


def test_operations_lanes_and_records() -> None:
    chat, stream = ChatOptions(**CHAT, user="ada", document_ids=("d",)), StreamOptions(**CHAT)
    assert [one.operation for one in (chat, stream)] == ["chat", "stream"]
    assert chat.lane is Lane.INTERACTIVE
    record = chat.record()
    assert record.document_ids == ["d"]
    assert record.user not in (None, "ada")
    assert not record.streamed
    assert stream.record().streamed
    assert chat.request().messages == (Message("user", "hi"),)
    assert chat.request().user == record.user


@pytest.mark.parametrize(
    "wrong",
    [
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 201},
        {"idempotency_key": "\ud800"},
        {"idempotency_key": "a\nb"},
        {"on_unknown": "by"},
        {"request_id": "über"},
        {"request_id": ""},
    ],
    ids=ascii,
)
def test_what_no_call_may_say(wrong: dict[str, Any]) -> None:
    options: CallOptions = EmbedOptions(**{"tenant": "acme", "model": "m", "texts": ["a"], **wrong})
    with pytest.raises(InvalidCall):
        options.check()


def test_what_cannot_be_asked_is_told_without_its_content() -> None:
    for options in (
        ChatOptions(**{**CHAT, "temperature": 9.0}),
        ChatOptions(**{**CHAT, "messages": [{"role": "user", "text": "secret"}]}),
        EmbedOptions(tenant="acme", model="m", texts=["secret", ""]),
    ):
        with pytest.raises(InvalidCall) as caught:
            options.request()
        assert "secret" not in str(caught.value)
