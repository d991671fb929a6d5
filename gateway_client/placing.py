"""From what a caller asks to a call: who asks, on what terms, and who may answer. Nothing is sent or held yet."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from gateway_client.call import Call, Caller, Means
from gateway_client.catalogue import Catalogue
from gateway_client.errors import ContextTooLong, InvalidBudget, InvalidCall, UnknownTenant
from gateway_client.exchange.terms import Emit, Request
from gateway_client.lanes import Lane
from gateway_client.ledger.entries import CallRow, new_id
from gateway_client.messages import ChatRequest
from gateway_client.model import ModelSpec
from gateway_client.options import CallOptions
from gateway_client.policy import Policy, TenantPolicy
from gateway_client.records import fingerprint
from gateway_client.scopes import check_value
from gateway_client.settings import GatewaySettings
from gateway_client.tokens import check_fit, fits


@dataclass(frozen=True, slots=True)
class Placing:
    """What decides whether a call may be made at all."""

    settings: GatewaySettings
    catalogue: Catalogue
    policy: Policy

    async def call(self, means: Means, options: CallOptions, emit: Emit | None = None) -> Call:
        """The call, its run's cap written. What cannot be sent is refused here, for nothing. Raises GatewayError."""
        options.check()
        request, record = options.request(), options.record()
        terms = self._terms(options.tenant)
        caller = _caller(options, terms)
        run_cap = _least(options.max_run_cost, terms.max_cost_per_run)
        if caller.run and run_cap is not None:
            await means.ledger.cap_run(caller.tenant, caller.run, run_cap)
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
        kept = terms.reply_retention or self.settings.reply_retention
        until = asyncio.get_running_loop().time() + self._seconds(options, caller)
        call = Call(
            means, caller, row, request, models, until, record, emit, expires=lambda: time.time() + kept
        )
        call.made(models[0])
        return call

    def _seconds(self, options: CallOptions, caller: Caller) -> float:
        if options.deadline is not None:
            return options.deadline
        batch = caller.lane is Lane.BATCH
        return self.settings.batch_deadline if batch else self.settings.interactive_deadline

    def _terms(self, tenant: str) -> TenantPolicy:
        found = self.policy.tenant(tenant) if tenant else None
        if found is None:
            raise UnknownTenant(f"the policy knows no tenant {tenant!r}")
        return found

    def _models(self, request: Request) -> list[ModelSpec]:
        """Who may answer, in order: those that the request may fit."""
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


def _caller(options: CallOptions, terms: TenantPolicy) -> Caller:
    tenant, feature, run = options.tenant, options.feature, options.run
    try:
        lane = Lane(options.lane)
    except ValueError as unknown:
        raise InvalidCall(f"{options.lane!r} is no lane: interactive or batch") from unknown
    named = {"tenant": tenant, "feature": feature} | ({"run": run} if run else {})
    try:
        for name, value in named.items():
            check_value(name, value)
    except InvalidBudget as wrong:
        raise InvalidCall(str(wrong)) from wrong
    return Caller(tenant, lane, feature, run, _least(options.max_cost, terms.max_cost_per_call))


def _gives(request: Request, model: ModelSpec) -> bool:
    return (
        not isinstance(request, ChatRequest) or not model.max_output or request.max_tokens <= model.max_output
    )


def _least(*caps: int | None) -> int | None:
    return min((cap for cap in caps if cap is not None), default=None)
