"""From a request and its fault to the steps that the server takes: pure, so that every fault can be read and tested."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_client.messages import FinishReason, Usage
from gateway_client.simulator.answer import Answer
from gateway_client.simulator.asked import Asked
from gateway_client.simulator.faults import Fault, FaultSpec
from gateway_client.simulator.steps import Begin, Cut, Reset, Send, Step, Wait
from gateway_client.simulator.wire import ErrorKind, WireFormat

PAGE = b"<!doctype html><html><head><title>502</title></head><body><h1>Please log in</h1></body></html>"
MEGABYTE = 1_000_000
PING_EVERY = 0.1
PINGS = {"openai": b": keep-alive\n\n", "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n'}
NOTHING = Usage(0, 0)
LATE = (Fault.STALL, Fault.PINGS)  # all comes in the end
Headers = tuple[tuple[str, str], ...]
ERRORS: dict[Fault, tuple[int, ErrorKind, str]] = {
    Fault.RATE_LIMITED: (429, "rate_limited", "Rate limit reached, please slow down."),
    Fault.OVERLOADED: (529, "overloaded", "Overloaded"),
    Fault.UNAUTHORIZED: (401, "unauthorized", "Incorrect API key provided."),
    Fault.FORBIDDEN: (403, "forbidden", "Not allowed from here."),
    Fault.NOT_FOUND: (404, "not_found", "The model does not exist or you do not have access to it."),
    Fault.BAD_REQUEST: (400, "bad_request", "Invalid value in your request."),
    Fault.CONTENT_POLICY: (400, "content_policy", "Your request was rejected by our content policy."),
    Fault.CONTEXT_OVERFLOW: (
        400,
        "context_overflow",
        "prompt is too long: beyond the maximum context length.",
    ),
    Fault.OUT_OF_CREDIT: (429, "out_of_credit", "You exceeded your current quota, check your plan."),
}


@dataclass(frozen=True, slots=True)
class Script:
    """The steps, and what is charged. A stream that ended early (`early`: by its fault; or because the client left)
    is charged as far as it was sent."""

    steps: tuple[Step, ...]
    charged: Usage = NOTHING
    streamed: Answer | None = None
    early: bool = False
    finish: FinishReason | None = None

    def bill(self, sent: int, *, left: bool) -> Usage:
        """The charge after so many tokens were sent; `left` says that the client did not wait for the end."""
        if self.streamed is None or not (self.early or left):
            return self.charged
        return self.streamed.billed_after(sent)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds before the first token and between two."""

    first: float = 0.0
    between: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a script is written from."""

    asked: Asked
    answer: Answer
    fault: FaultSpec
    wire: WireFormat
    reply_id: str
    pace: Pace = Pace()
    headers: Headers = field(default=())


def error(
    wire: WireFormat, status: int, kind: ErrorKind, message: str, headers: Iterable[tuple[str, str]]
) -> Script:
    """An error that costs nothing."""
    return Script(_body(wire.error(kind, message), tuple(headers), status))


def embeddings(scene: Scene, usage: Usage, seed: int) -> Script:
    """Vectors, with whatever faults do not need a text."""
    common = _common(scene, usage)
    if common is not None:
        return common
    body = scene.wire.embeddings(scene.asked, usage, seed)
    match scene.fault.fault:
        case Fault.WRONG_MODEL:
            body["model"] = f"{body['model']}-impostor"
        case Fault.NO_MODEL:
            del body["model"]
        case Fault.NO_USAGE:
            del body["usage"]
        case Fault.EMPTY_CONTENT:
            body["data"] = []
    return Script(_broken_whole(scene, body, Wait(scene.pace.first)), usage)


def chat(scene: Scene) -> Script:
    """An answer, or what becomes of it."""
    common = _common(scene, scene.answer.billed)
    if common is not None:
        return common
    return _streamed(scene) if scene.asked.stream else _whole(scene)


def _common(scene: Scene, usage: Usage) -> Script | None:
    """Faults in which no answer is seen at all, streamed or not."""
    fault = scene.fault
    charged = usage if fault.billed else NOTHING
    match fault.fault:
        case kind if kind in ERRORS:
            status, error_kind, message = ERRORS[kind]
            return Script(_body(scene.wire.error(error_kind, message), _asking(scene), status), charged)
        case Fault.STATUS:
            told = scene.wire.error(_kind_of(fault.status), f"The server had an error ({fault.status}).")
            return Script(_body(told, _asking(scene), fault.status), charged)
        case Fault.REDIRECT:
            return Script((Begin(307, (*scene.headers, ("location", fault.to)), 0),), charged)
        case Fault.SILENCE:
            return Script((Wait(fault.seconds), Cut()), usage)
        case Fault.HTML:
            begin = Begin(200, (*scene.headers, ("content-type", "text/html; charset=utf-8")), len(PAGE))
            return Script((begin, Send(PAGE)), usage)
        case Fault.EMPTY_BODY:
            return Script((Begin(200, (*scene.headers, ("content-type", "application/json")), 0),), usage)
        case Fault.HUGE_BODY:
            return Script(_huge(scene), usage)
        case Fault.RESET if fault.after is None:
            return Script((Reset(),), usage)
        case _:
            return None


def _kind_of(status: int) -> ErrorKind:
    kinds: dict[int, ErrorKind] = {
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        429: "rate_limited",
        503: "overloaded",
        529: "overloaded",
    }
    return kinds.get(status, "server_error" if status >= 500 else "bad_request")


def _asking(scene: Scene) -> Headers:
    asked = scene.fault.retry_after
    return scene.headers if asked is None else (*scene.headers, ("retry-after", f"{asked:g}"))


def _huge(scene: Scene) -> tuple[Step, ...]:
    """Megabytes that go on like an answer: JSON whose text does not end, or one token after the other."""
    times = scene.fault.megabytes
    if not scene.asked.stream:
        head = b'{"choices":[{"message":{"content":"'
        return (_json_begin(scene, None), Send(head), Send(b"x" * MEGABYTE, times=times), Send(b'"}}]}'))
    frames = scene.wire.frames(scene.asked, scene.answer, scene.reply_id)
    many = b"".join(frames.pieces) or b": \n\n"
    repeated = many * (MEGABYTE // len(many) + 1)
    return (
        _stream_begin(scene),
        Send(b"".join(frames.head)),
        Send(repeated, times=times),
        *_sends(frames.end),
    )


def _whole(scene: Scene) -> Script:
    answer, pace = scene.answer, scene.pace
    body = scene.wire.whole(scene.asked, answer, scene.reply_id)
    if scene.fault.fault is Fault.ABSURD_USAGE:
        body["usage"] = absurd(scene)
    wait = Wait(pace.first + pace.between * len(answer.pieces))
    if scene.fault.fault is Fault.ERROR_IN_STREAM:
        body = scene.wire.error("server_error", "The server had an error while processing your request.")
    return Script(_broken_whole(scene, body, wait), answer.billed, finish=answer.finish)


def _broken_whole(scene: Scene, body: Mapping[str, Any], wait: Wait) -> tuple[Step, ...]:
    """An answer in one piece, or as far as the fault lets it: half of it."""
    data = json.dumps(body).encode()
    half = data[: len(data) // 2]
    match scene.fault.fault:
        case Fault.SLOW_FIRST_TOKEN:
            return (Wait(scene.fault.seconds), *_body(body, scene.headers))
        case Fault.STALL:
            begin = _json_begin(scene, len(data))
            return (wait, begin, Send(half), Wait(scene.fault.seconds), Send(data[len(half) :]))
        case Fault.PINGS:
            # White space before JSON is part of it, and some servers keep a connection alive so.
            return (wait, _json_begin(scene, None), _signs_of_life(scene, b" "), Send(data))
        case Fault.CUT_STREAM:
            return (wait, _json_begin(scene, len(data)), Send(half), Cut())
        case Fault.RESET:
            return (wait, _json_begin(scene, len(data)), Send(half), Reset())
        case Fault.MALFORMED | Fault.NO_END:
            return (wait, _json_begin(scene, len(half)), Send(half))
        case _:
            return (wait, *_body(body, scene.headers))


def _streamed(scene: Scene) -> Script:
    frames = scene.wire.frames(scene.asked, scene.answer, scene.reply_id)
    after = len(frames.pieces) // 2 if scene.fault.after is None else scene.fault.after
    waited = Wait(scene.fault.seconds if scene.fault.fault is Fault.SLOW_FIRST_TOKEN else scene.pace.first)
    start: tuple[Step, ...] = (waited, _stream_begin(scene), *_sends(frames.head))
    before = _paced(frames.pieces[:after], scene.pace)
    rest = (
        *_paced(frames.pieces[after:], scene.pace),
        *_sends(_tail(scene, frames.tail)),
        *_sends(frames.end),
    )
    middle = _middle(scene)
    if middle is None:
        steps = (*start, *before, *rest)
    elif scene.fault.fault in LATE:
        steps = (*start, *before, *middle, *rest)
    else:
        steps = (*start, *before, *middle)
    early = middle is not None and scene.fault.fault not in LATE
    return Script(steps, scene.answer.billed, scene.answer, early, scene.answer.finish)


def _middle(scene: Scene) -> tuple[Step, ...] | None:
    """What happens after some tokens; None if nothing does."""
    match scene.fault.fault:
        case Fault.STALL:
            return (Wait(scene.fault.seconds),)
        case Fault.PINGS:
            return (_signs_of_life(scene, PINGS[scene.asked.format]),)
        case Fault.CUT_STREAM:
            return (Send(b'data: {"id":"'), Cut())
        case Fault.RESET:
            return (Reset(),)
        case Fault.NO_END:
            return ()
        case Fault.MALFORMED:
            return (Send(b'data: {"choices": [{"delta": {"content": oops\n\n'),)
        case Fault.ERROR_IN_STREAM:
            kind: ErrorKind = "overloaded" if scene.asked.format == "anthropic" else "server_error"
            return (Send(scene.wire.error_event(kind, "Overloaded")),)
        case _:
            return None


def _signs_of_life(scene: Scene, sign: bytes) -> Send:
    return Send(sign, times=max(1, round(scene.fault.seconds / PING_EVERY)), every=PING_EVERY)


def _tail(scene: Scene, tail: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if scene.fault.fault is not Fault.ABSURD_USAGE:
        return tail
    told = {"choices": [], "usage": absurd(scene)}
    if scene.asked.format == "anthropic":
        stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": absurd(scene)}
        return (tail[0], b"data: " + json.dumps(stop).encode() + b"\n\n")
    return (*tail, b"data: " + json.dumps(told).encode() + b"\n\n")


def absurd(scene: Scene) -> dict[str, Any]:
    """Usage that cannot be: more read from the cache than was sent, and less than nothing written."""
    if scene.asked.format == "anthropic":
        return {"input_tokens": -5, "output_tokens": 3}
    return {"prompt_tokens": 3, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}


def _paced(pieces: tuple[bytes, ...], pace: Pace) -> tuple[Step, ...]:
    if not pace.between:
        return tuple(Send(piece, 1) for piece in pieces)
    return tuple(step for piece in pieces for step in (Send(piece, 1), Wait(pace.between)))


def _sends(frames: Iterable[bytes]) -> tuple[Step, ...]:
    return tuple(Send(frame) for frame in frames)


def _body(body: Mapping[str, Any], headers: Headers, status: int = 200) -> tuple[Step, ...]:
    data = json.dumps(body).encode()
    return (Begin(status, (*headers, ("content-type", "application/json")), len(data)), Send(data))


def _json_begin(scene: Scene, whole: int | None) -> Begin:
    return Begin(200, (*scene.headers, ("content-type", "application/json")), whole)


def _stream_begin(scene: Scene) -> Begin:
    return Begin(200, (*scene.headers, ("content-type", "text/event-stream; charset=utf-8")))
