"""A stream: its pieces, its end, and what is left of it when nobody reads on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway_client import streaming
from gateway_client.call import Call
from gateway_client.errors import ClientClosed, Truncated
from gateway_client.messages import StreamEvent, ToolCall
from gateway_client.records import Answered, Record
from gateway_client.streaming import Stream
from tests.support.calls_under_way import ScriptedLedger, call_under_way
from tests.support.model_calls import reply

Running = Callable[[Call], Awaitable[Answered]]
ANSWER = Answered(reply("one two"), "m", "c", Record("r"))


def put(call: Call, *pieces: str) -> None:
    assert call.emit is not None
    for piece in pieces:
        call.emit(StreamEvent(text=piece))


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Running], None]:
    """Have calls run as a test says."""

    def by(work: Running) -> None:
        async def run(call: Call) -> Answered:
            call.begun = True
            return await work(call)

        monkeypatch.setattr(streaming, "run", run)

    return by


def started(*, buffer: bool = False) -> tuple[Stream, ScriptedLedger]:
    ledger, stream = ScriptedLedger(), Stream(buffer=buffer)
    stream.start(call_under_way(ledger, emit=stream.put, buffered=buffer, claimed=True))
    return stream, ledger


async def read(stream: Stream) -> list[str]:
    return [event.text async for event in stream]


async def answering(call: Call) -> Answered:
    put(call, "one", " two")
    return ANSWER


def test_pieces_then_the_whole(running: Any) -> None:
    running(answering)

    async def main() -> None:
        stream, _ = started()
        with pytest.raises(ClientClosed, match="not been read"):
            _ = stream.completion
        assert await read(stream) == ["one", " two"]
        assert stream.completion.text == "one two"
        assert await read(stream) == []

    asyncio.run(main())


def test_an_error_comes_after_the_pieces_and_is_the_completions_too(running: Any) -> None:
    async def cut(call: Call) -> Answered:
        put(call, "one")
        raise Truncated("cut", kind="truncated")

    running(cut)

    async def main() -> None:
        stream, _ = started()
        assert (await anext(stream)).text == "one"
        with pytest.raises(Truncated):
            await anext(stream)
        with pytest.raises(Truncated):
            _ = stream.completion

    asyncio.run(main())


def test_a_buffered_stream_shows_nothing_of_attempts_that_failed(running: Any) -> None:
    async def second_works(call: Call) -> Answered:
        call.record.sends = 1
        put(call, "wrong")
        call.record.sends = 2
        put(call, "one", " two")
        return ANSWER

    running(second_works)

    async def main() -> None:
        stream, _ = started(buffer=True)
        assert await read(stream) == ["one", " two"]

    asyncio.run(main())


def test_a_buffered_stream_that_fails_shows_nothing(running: Any) -> None:
    async def cut(call: Call) -> Answered:
        put(call, "one")
        raise Truncated("cut", kind="truncated")

    running(cut)

    async def main() -> None:
        stream, _ = started(buffer=True)
        with pytest.raises(Truncated):
            await stream.text()
        await stream.close()

    asyncio.run(main())


def test_who_leaves_cancels_the_call_once(running: Any) -> None:
    left: list[str] = []

    async def waiting(call: Call) -> Answered:
        put(call, "one")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            left.append("cancelled")
            raise
        return ANSWER

    running(waiting)

    async def main() -> None:
        stream, ledger = started()
        async with stream:
            assert (await anext(stream)).text == "one"
        await stream.close()
        assert left == ["cancelled"]
        assert await read(stream) == []
        assert ledger.ended == [], "a call that is run ends itself"
        with pytest.raises(ClientClosed):
            _ = stream.completion

    asyncio.run(main())


def test_a_failure_that_nobody_reads_on_for_is_not_complained_of(running: Any) -> None:
    """The call's row has it."""
    complaints: list[dict[str, Any]] = []

    async def failing(call: Call) -> Answered:
        raise Truncated("cut", kind="reset")

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        stream, _ = started()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del stream
        gc.collect()

    running(failing)
    asyncio.run(leave())
    gc.collect()
    assert complaints == []


def test_a_call_that_never_ran_is_ended_by_its_stream(running: Any) -> None:
    running(answering)

    async def main() -> ScriptedLedger:
        stream, ledger = started()
        await stream.close()
        assert await read(stream) == []
        return ledger

    (ending,) = asyncio.run(main()).ended
    assert (ending.call, ending.state, ending.outcome) == ("call", "failed", "cancelled")


def test_a_stored_answer_is_given_in_pieces_without_a_call() -> None:
    calls = (ToolCall("1", "a", "{}"), ToolCall("2", "b", '{"x":1}'))
    stored = Answered(reply("one two", tool_calls=calls), "m", "c", Record("r"), stored=True)

    async def main() -> None:
        stream = Stream(buffer=True)
        stream.replay(stored)
        events = [event async for event in stream]
        assert events == [
            StreamEvent(text="one two"),
            StreamEvent(tool_call=(0, calls[0])),
            StreamEvent(tool_call=(1, calls[1])),
        ]
        assert stream.completion.stored
        assert stream.completion.tool_calls == calls
        await stream.close()

    asyncio.run(main())
