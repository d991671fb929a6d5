"""Records as they are kept, and fingerprints of bodies."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway_client.messages import EmbeddingReply, EmbeddingRequest, Message, Usage
from gateway_client.records import Answered, Completion, Embeddings, Record, fingerprint, hashed
from tests.support.model_calls import LABEL_SCHEMA, ask, reply

counts = st.integers(0, 10**6)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


@given(st.lists(st.tuples(usages, counts)), st.text(max_size=20), st.lists(st.text(max_size=10), max_size=3))
def test_a_record_counts_and_is_read_as_it_was_kept(
    charged: list[tuple[Usage, int]], user: str, documents: list[str]
) -> None:
    record = Record("id", "00-trace", hashed(user), documents, streamed=True, first_token=0.5)
    for usage, cost in charged:
        record.count(usage, cost)
    assert record.cost == sum(cost for _, cost in charged)
    assert record.input + record.cache_read + record.cache_write == sum(usage.prompt for usage, _ in charged)
    assert (record.output, record.reasoning) == (
        sum(usage.output for usage, _ in charged),
        sum(usage.reasoning for usage, _ in charged),
    )
    assert Record.from_json(record.to_json()) == record


def test_a_record_of_an_older_program_is_read() -> None:
    assert Record.from_json('{"request_id":"r","sends":3}') == Record("r", sends=3)


def test_users_are_known_by_a_digest_only() -> None:
    assert hashed(None) is None
    assert hashed("ada") == hashed("ada") != hashed("bob")
    assert "ada" not in Record("r", user=hashed("ada")).to_json()


class Label(BaseModel):
    label: str


OTHERS = [
    ask("What holds fast?!"),
    ask(max_tokens=101),
    ask(model="sim-anthropic"),
    ask(temperature=0.0),
    ask(seed=0),
    ask(stop=("x",)),
    ask(user="u"),
    ask(schema=LABEL_SCHEMA),
    ask(schema=Label),
    replace(ask(), messages=(Message("user", "What holds"), Message("user", " fast?"))),
    replace(ask(), messages=(Message("system", "What holds fast?"), Message("user", "What holds fast?"))),
]


def test_fingerprints_tell_bodies_and_operations_apart() -> None:
    base = fingerprint("chat", ask())
    assert base == fingerprint("chat", ask())
    assert base != fingerprint("stream", ask())
    found = [fingerprint("chat", request) for request in OTHERS]
    assert len({base, *found}) == len(OTHERS) + 1
    assert fingerprint("chat", ask(schema=Label)) == fingerprint(
        "chat", ask(schema=Label.model_json_schema())
    )


def test_fingerprints_of_texts_do_not_run_into_each_other() -> None:
    bodies = [("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab")]
    found = {fingerprint("embed", EmbeddingRequest("m", texts)) for texts in bodies}
    sizes = {fingerprint("embed", EmbeddingRequest("m", ("abc",), size)) for size in (1, 2)}
    assert len(found | sizes) == 6


def test_a_fingerprint_holds_nothing_of_the_text_and_fits_its_column() -> None:
    found = fingerprint("chat", ask("secret"))
    assert len(found) == 64
    assert "secret" not in found


def test_an_answer_is_of_its_operations_kind() -> None:
    chat = Answered(reply("yes"), "m", "c", Record("r"), stored=True)
    vectors = replace(chat, reply=EmbeddingReply(((1.0,),), None, "m", "openai"), stored=False)
    found = Completion.of(chat)
    assert (found.text, found.model, found.call, found.stored) == ("yes", "m", "c", True)
    assert Embeddings.of(vectors).vectors == ((1.0,),)
    assert not Embeddings.of(vectors).stored
    with pytest.raises(AssertionError):
        Completion.of(vectors)
    with pytest.raises(AssertionError):
        Embeddings.of(chat)


def test_a_record_is_plain_json() -> None:
    told = json.loads(Record("r", document_ids=("a", "b")).to_json())
    assert told["document_ids"] == ["a", "b"]
    assert told["last_failure"] == ""
