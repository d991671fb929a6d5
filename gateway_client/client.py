"""The asynchronous client: who may call what, then the call."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import httpx

from gateway_client import forks
from gateway_client.call import Call, Caller, Means, Task
from gateway_client.catalogue import Catalogue
from gateway_client.errors import ClientClosed, ContextTooLong, InvalidBudget, InvalidCall, UnknownTenant
from gateway_client.exchange.terms import Emit, Exchange, Request
from gateway_client.idempotency import claim
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import CallRow, new_id
from gateway_client.ledger.ledger import Ledger
from gateway_client.messages import ChatRequest
from gateway_client.model import ModelSpec
from gateway_client.options import CallOptions, ChatOptions, EmbedOptions, StreamOptions, takes
from gateway_client.policy import AnyTenant, Policy, TenantPolicy
from gateway_client.pools.from_catalogue import declared_pools, monthly_caps
from gateway_client.records import Completion, Embeddings, fingerprint
from gateway_client.retry_loop import run
from gateway_client.scopes import check_value
from gateway_client.settings import GatewaySettings, gateway_settings
from gateway_client.store.opening import open_database
from gateway_client.streaming import Stream
from gateway_client.tokens import check_fit, fits


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

    @takes(ChatOptions)
    async def chat(self, options: ChatOptions) -> Completion:
        """A complete answer, or an error: a truncated one is never a success. Raises GatewayError."""
        call = await self._call(options)
        return Completion.of(await claim(call, options.on_unknown) or await run(call))

    @takes(EmbedOptions)
    async def embed(self, options: EmbedOptions) -> Embeddings:
        """One vector per text, of float32 numbers. Raises GatewayError."""
        call = await self._call(options)
        return Embeddings.of(await claim(call, options.on_unknown) or await run(call))

    @takes(StreamOptions)
    async def stream(self, options: StreamOptions) -> Stream:
        """The answer as it arrives: iterate over it, then `completion` is the whole.

        Once a piece was handed out, a failure is raised by the iteration and nobody else is asked; with `buffer`
        pieces are handed out when the answer is complete, so that another model may still answer. An answer that
        was stored under the idempotency key is handed out again, without the rhythm that it once had. Raises
        GatewayError.
        """
        stream = Stream(buffer=options.buffer)
        call = await self._call(options, stream.put)
        call.buffered = options.buffer
        stored = await claim(call, options.on_unknown)
        if stored is None:
            stream.start(call)
        else:
            stream.replay(stored)
        return stream

    # -- how it becomes a call

    async def _call(self, options: CallOptions, emit: Emit | None = None) -> Call:
        options.check()
        request, record = options.request(), options.record()
        caller, terms = await self._caller(options), self._terms(options.tenant)
        means, settings = self._opened(), self.settings
        models = self._models(request)
        row = CallRow(
            id=new_id(),
            worker=means.ledger.worker,
            tenant=caller.tenant,
            lane=caller.lane.value,
            feature=caller.feature,
            run=caller.run,
            model=request.model,
            fingerprint=fingerprint(options.operation, request),
            key=options.idempotency_key,
            record=record.to_json(),
        )
        default = settings.batch_deadline if caller.lane is Lane.BATCH else settings.interactive_deadline
        seconds = default if options.deadline is None else options.deadline
        kept = terms.reply_retention or settings.reply_retention
        until = asyncio.get_running_loop().time() + seconds
        call = Call(
            means, caller, row, request, models, until, record, emit, expires=lambda: time.time() + kept
        )
        call.made(models[0])  # what cannot be sent is refused before anything is written
        return call

    async def _caller(self, options: CallOptions) -> Caller:
        tenant, run, terms = options.tenant, options.run, self._terms(options.tenant)
        try:
            lane = Lane(options.lane)
        except ValueError as unknown:
            raise InvalidCall(f"{options.lane!r} is no lane: interactive or batch") from unknown
        named = {"tenant": tenant, "feature": options.feature} | ({"run": run} if run else {})
        try:
            for name, value in named.items():
                check_value(name, value)
        except InvalidBudget as wrong:
            raise InvalidCall(str(wrong)) from wrong
        run_cap = _least(options.max_run_cost, terms.max_cost_per_run)
        if run and run_cap is not None:
            await self._opened().ledger.cap_run(tenant, run, run_cap)
        return Caller(tenant, lane, options.feature, run, _least(options.max_cost, terms.max_cost_per_call))

    def _terms(self, tenant: str) -> TenantPolicy:
        found = self.policy.tenant(tenant) if tenant else None
        if found is None:
            raise UnknownTenant(f"the policy knows no tenant {tenant!r}")
        return found

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
        if self._means is None:
            work.close()
            raise ClientClosed(
                "the gateway client was closed before the call was sent: nothing is being sent"
            )
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


def _least(*caps: int | None) -> int | None:
    return min((cap for cap in caps if cap is not None), default=None)
