"""The asynchronous client: who may call what, then the call."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import httpx
from pydantic import BaseModel, ValidationError

from gateway_client import forks
from gateway_client.call import Call, Caller, Means, Task
from gateway_client.catalogue import Catalogue
from gateway_client.errors import ClientClosed, ContextTooLong, InvalidBudget, InvalidCall, UnknownTenant
from gateway_client.exchange import Emit, Exchange, Request
from gateway_client.idempotency import Keyed
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import CallRow, new_id
from gateway_client.ledger.ledger import Ledger
from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Message, Reply, Tool
from gateway_client.model import ModelSpec
from gateway_client.policy import AnyTenant, Policy, TenantPolicy
from gateway_client.pools.from_catalogue import declared_pools, monthly_caps
from gateway_client.records import Completion, Embeddings, Record, fingerprint, hashed
from gateway_client.scopes import check_value
from gateway_client.settings import GatewaySettings, gateway_settings
from gateway_client.store.opening import open_database
from gateway_client.streaming import Stream
from gateway_client.tokens import check_fit, fits

OnUnknown = Literal["fail", "buy"]
Given = Mapping[str, Any] | Message


class GatewayClient:
    """The one way to call a model provider. Open it with `async with`; it belongs to that event loop and process."""

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        *,
        policy: Policy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.policy: Policy = policy or AnyTenant()
        self._transport = transport
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._tasks: set[asyncio.Task[Any]] = set()
        self._means: Means | None = None
        self._pid = os.getpid()

    @classmethod
    def from_settings(
        cls,
        settings: GatewaySettings | None = None,
        *,
        policy: Policy | None = None,
        catalogue: Catalogue | None = None,
    ) -> Self:
        """The client of the environment's settings. Raises InvalidCatalogue."""
        found = settings or gateway_settings()
        return cls(found, catalogue or Catalogue.load(found.catalogue), policy=policy)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Sign on to the store. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        opening = lambda: open_database(self.settings.store, durable=self.settings.durable)  # noqa: E731
        ledger = Ledger(await loop.run_in_executor(None, opening))
        try:
            await ledger.open(declared_pools(self.catalogue), monthly_caps(self.catalogue))
        except BaseException:
            await ledger.close()
            raise
        forks.watch(ledger)
        http = httpx.AsyncClient(
            transport=self._transport,
            timeout=httpx.Timeout(None, connect=self.settings.connect_seconds),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30),
            follow_redirects=False,
        )
        self._means = Means(ledger, http, self.settings, self._spawn, self._drain, self._random)

    async def close(self) -> None:
        """Wait a little for what is on its way, then sign off."""
        if self._means is None:
            return
        means, self._means = self._means, None
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self.settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await means.http.aclose()
        await means.ledger.close()

    @property
    def ledger(self) -> Ledger:
        """The ledger of this open client. Raises ClientClosed."""
        return self._opened().ledger

    # -- what a caller asks for

    async def chat(
        self,
        *,
        tenant: str,
        model: str,
        messages: Sequence[Given],
        max_tokens: int,
        lane: Lane | str = Lane.INTERACTIVE,
        feature: str = "default",
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        tool_choice: str = "auto",
        schema: type[BaseModel] | dict[str, Any] | None = None,
        temperature: float | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
        on_unknown: OnUnknown = "fail",
        run: str = "",
        max_cost: int | None = None,
        max_run_cost: int | None = None,
        user: str | None = None,
        trace_parent: str | None = None,
        request_id: str | None = None,
        document_ids: Sequence[str] = (),
    ) -> Completion:
        """A complete answer, or an error: a truncated one is never a success.

        `deadline` is in seconds, for the whole call. `max_cost` caps this call, `max_run_cost` all calls of `run`
        (an agent's loop), both in micro-dollars. A call whose `idempotency_key` has an outcome is not sent again;
        `on_unknown` says what to do where one may have been bought whose reply is not known. Raises GatewayError.
        """
        request = chat_request(
            model, messages, max_tokens, tools, tool_choice, schema, temperature, stop, seed, user
        )
        caller = await self._caller(tenant, lane, feature, run, max_cost, max_run_cost)
        record = Record(request_id or new_id(), trace_parent, hashed(user), list(document_ids))
        call = self._call(caller, request, record, deadline, idempotency_key)
        keyed = Keyed(call, on_unknown)
        stored = await keyed.claim()
        if stored is not None:
            return stored
        reply = await call.run()
        assert isinstance(reply, Reply)
        return Completion(reply, call.answered_by, call.row.id, record)

    async def embed(
        self,
        *,
        tenant: str,
        model: str,
        texts: Sequence[str],
        dimensions: int | None = None,
        lane: Lane | str = Lane.BATCH,
        feature: str = "embed",
        deadline: float | None = None,
        run: str = "",
        max_cost: int | None = None,
        max_run_cost: int | None = None,
        trace_parent: str | None = None,
        request_id: str | None = None,
    ) -> Embeddings:
        """One vector per text. Raises GatewayError."""
        try:
            request = EmbeddingRequest(model, tuple(texts), dimensions)
        except ValidationError as invalid:
            raise InvalidCall(_told(invalid)) from invalid
        caller = await self._caller(tenant, lane, feature, run, max_cost, max_run_cost)
        record = Record(request_id or new_id(), trace_parent)
        call = self._call(caller, request, record, deadline, None)
        reply = await call.run()
        assert isinstance(reply, EmbeddingReply)
        return Embeddings(reply, call.answered_by, call.row.id, record)

    async def stream(
        self,
        *,
        tenant: str,
        model: str,
        messages: Sequence[Given],
        max_tokens: int,
        lane: Lane | str = Lane.INTERACTIVE,
        feature: str = "default",
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        tool_choice: str = "auto",
        schema: type[BaseModel] | dict[str, Any] | None = None,
        temperature: float | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        deadline: float | None = None,
        buffer: bool = False,
        run: str = "",
        max_cost: int | None = None,
        max_run_cost: int | None = None,
        user: str | None = None,
        trace_parent: str | None = None,
        request_id: str | None = None,
        document_ids: Sequence[str] = (),
    ) -> Stream:
        """The answer as it arrives: iterate over it, then `completion` is the whole.

        Once a piece was handed out, a failure is raised by the iteration and nobody else is asked; with `buffer`
        pieces are handed out when the answer is complete, so that another model may still answer.
        """
        request = chat_request(
            model, messages, max_tokens, tools, tool_choice, schema, temperature, stop, seed, user
        )
        caller = await self._caller(tenant, lane, feature, run, max_cost, max_run_cost)
        record = Record(request_id or new_id(), trace_parent, hashed(user), list(document_ids), streamed=True)
        stream = Stream(buffer)
        call = self._call(caller, request, record, deadline, None, stream.put)
        call.buffered = buffer
        stream.start(call)
        return stream

    # -- how it becomes a call

    async def _caller(
        self, tenant: str, lane: Lane | str, feature: str, run: str, most: int | None, most_of_run: int | None
    ) -> Caller:
        terms = self._terms(tenant)
        try:
            chosen = Lane(lane)
        except ValueError as unknown:
            raise InvalidCall(f"{lane!r} is no lane: interactive or batch") from unknown
        try:
            for name, value in (("tenant", tenant), ("feature", feature), *((("run", run),) if run else ())):
                check_value(name, value)
        except InvalidBudget as wrong:
            raise InvalidCall(str(wrong)) from wrong
        caps = [cap for cap in (most, terms.max_cost_per_call) if cap is not None]
        run_caps = [cap for cap in (most_of_run, terms.max_cost_per_run) if cap is not None]
        if run and run_caps:
            await self._opened().ledger.cap_run(tenant, run, min(run_caps))
        return Caller(tenant, chosen, feature, run, min(caps, default=None))

    def _terms(self, tenant: str) -> TenantPolicy:
        found = self.policy.tenant(tenant) if tenant else None
        if found is None:
            raise UnknownTenant(f"the policy knows no tenant {tenant!r}")
        return found

    def _call(
        self,
        caller: Caller,
        request: Request,
        record: Record,
        deadline: float | None,
        key: str | None,
        emit: Emit | None = None,
    ) -> Call:
        means, settings = self._opened(), self.settings
        models = self._models(request)
        default = settings.batch_deadline if caller.lane is Lane.BATCH else settings.interactive_deadline
        row = CallRow(
            id=new_id(),
            worker=means.ledger.worker,
            tenant=caller.tenant,
            lane=caller.lane.value,
            feature=caller.feature,
            run=caller.run,
            model=request.model,
            fingerprint=fingerprint(request),
            key=key,
        )
        kept = self._terms(caller.tenant).reply_retention or settings.reply_retention
        until = asyncio.get_running_loop().time() + (default if deadline is None else deadline)
        call = Call(
            means, caller, row, request, models, until, record, emit, expires=lambda: time.time() + kept
        )
        call.made(models[0])  # what cannot be sent is refused before anything is written
        return call

    def _models(self, request: Request) -> list[ModelSpec]:
        """Who may answer, in order: those that the request may fit. What none fits is refused here, for nothing."""
        first = self.catalogue.model(request.model, self.settings.environment)
        models = [first, *self.catalogue.fallbacks(request.model, self.settings.environment)]
        fitting = [model for model in models if fits(request, model) and _gives(request, model)]
        if not fitting:
            check_fit(request, first)
            raise ContextTooLong(
                f"max_tokens {getattr(request, 'max_tokens', 0)} is more than {first.name!r} gives at once "
                f"({first.max_output}): ask for less, or approve a larger model among its fallbacks"
            )
        return fitting

    def _opened(self) -> Means:
        if os.getpid() != self._pid:
            raise ClientClosed("the gateway client was opened before a fork: open one in this process")
        if self._means is None:
            raise ClientClosed("the gateway client is not open: use `async with`")
        return self._means

    def _spawn(self, work: Coroutine[Any, Any, Exchange]) -> Task:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to whoever waited; nobody may have

    def _drain(self, task: Task) -> None:
        """An answer whose caller is gone: its usage is worth waiting for, for a while."""
        timer = asyncio.get_running_loop().call_later(self.settings.drain_seconds, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())


def _gives(request: Request, model: ModelSpec) -> bool:
    return (
        not isinstance(request, ChatRequest) or not model.max_output or request.max_tokens <= model.max_output
    )


def chat_request(
    model: str,
    messages: Sequence[Given],
    max_tokens: int,
    tools: Sequence[Tool | Mapping[str, Any]],
    tool_choice: str,
    schema: type[BaseModel] | dict[str, Any] | None,
    temperature: float | None,
    stop: Sequence[str],
    seed: int | None,
    user: str | None,
) -> ChatRequest:
    """What was given, as a request. Raises InvalidCall."""
    try:
        return ChatRequest(
            model=model,
            messages=tuple(m if isinstance(m, Message) else Message(**m) for m in messages),
            max_tokens=max_tokens,
            tools=tuple(t if isinstance(t, Tool) else Tool(**t) for t in tools),
            tool_choice=tool_choice,
            schema=schema,
            temperature=temperature,
            stop=tuple(stop),
            seed=seed,
            user=hashed(user),
        )
    except (ValidationError, TypeError) as invalid:
        raise InvalidCall(_told(invalid)) from invalid


def _told(invalid: ValidationError | TypeError) -> str:
    if isinstance(invalid, TypeError):
        return f"the request cannot be read: {invalid}"
    first = invalid.errors(include_url=False, include_input=False)[0]
    return f"the request cannot be sent: {'.'.join(map(str, first['loc']))}: {first['msg']}"
