"""The routes for whoever runs the service: probes and metrics. They need no key and name no document."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from retrieval.api.errors import documented, error_response
from retrieval.api.schemas import StatusResponse
from retrieval.api.service import Service

READY = b'{"status":"ready"}'


def operations(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz")
    async def healthz() -> StatusResponse:
        """The process is alive."""
        return StatusResponse(status="ok")

    @router.get("/readyz", response_model=StatusResponse, responses=documented())
    async def readyz(request: Request) -> Response:
        """The model is loaded and a search would work."""
        state = service.readiness.loading
        if state.ready:
            state = await run_in_threadpool(service.readiness.state)
        if state.ready:
            return Response(READY, media_type="application/json")
        return error_response(request, 503, "not_ready", state.reason)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented()},
    )
    def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(service.metrics.collectors), media_type=CONTENT_TYPE_LATEST)

    return router
