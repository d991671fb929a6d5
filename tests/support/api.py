"""The retrieval API over a test's world, in this process, with a key for every occasion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from registry import keys, tenants
from registry.database import Registry
from retrieval.api.app import create_app
from retrieval.api.schemas import ErrorResponse, SearchResponse
from retrieval.api.service import Service
from retrieval.opening import Retrieval
from tests.support.world import World


class Api:
    """A client of a world's API. `key` is a reader key of the world's tenant."""

    def __init__(self, world: World, app: FastAPI, client: TestClient) -> None:
        self.world = world
        self.app = app
        self.client = client
        self.key = self.new_key()

    @property
    def service(self) -> Service:
        found = self.app.state.service
        assert isinstance(found, Service)
        return found

    @property
    def registry(self) -> Registry:
        return self.world.registry

    def new_key(
        self, tenant: str = "", role: keys.Role = "reader", expires_at: datetime | None = None
    ) -> str:
        with self.registry.write() as session:
            made = keys.create(session, tenant or self.world.tenant, self.world.clock(), role, expires_at)
        return made.key

    def revoke(self, key: str, tenant: str = "") -> None:
        with self.registry.write() as session:
            keys.revoke(session, tenant or self.world.tenant, key.split("_")[1], self.world.clock())

    def suspend(self, tenant: str = "", suspended: bool = True) -> None:
        with self.registry.write() as session:
            tenants.suspend(session, tenants.find(session, tenant or self.world.tenant), suspended)

    def get(self, path: str, key: str | None = "") -> Response:
        return self.client.get(path, headers=self._headers(key))

    def post(self, body: Any, key: str | None = "") -> Response:
        return self.client.post("/v1/search", json=body, headers=self._headers(key))

    def post_raw(self, content: Any, key: str | None = "", **headers: str) -> Response:
        return self.client.post("/v1/search", content=content, headers={**self._headers(key), **headers})

    def search(self, query: str, key: str = "", **more: Any) -> SearchResponse:
        """An answer. Fails where the response is another status, or has a field that is not documented."""
        response = self.post({"query": query, **more}, key)
        assert response.status_code == 200, response.text
        assert list(response.json()) == list(SearchResponse.model_fields)
        return SearchResponse.model_validate_json(response.content, strict=True)

    def found(self, query: str, key: str = "", **more: Any) -> list[str]:
        """Documents found, best first."""
        return [hit.document for hit in self.search(query, key, collapse="document", **more).hits]

    def _headers(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key or self.key}"}


@contextmanager
def api_over(world: World) -> Iterator[Api]:
    """The API of a world, started; its model is loaded when this begins."""
    settings = world.settings.model_copy(update={"embedding_model": world.encoder.model.name})
    parts = Retrieval(world.registry, world.store, world.encoders, world.searcher)
    world.encoders.named(world.encoder.model.name)
    app = create_app(settings, world.clock, parts)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Api(world, app, client)


def error_of(response: Response, status: int, code: str) -> dict[str, Any]:
    """The error of a response in the one shape, with nothing beside it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    ErrorResponse.model_validate_json(response.content)
    error: dict[str, Any] = body["error"]
    assert error["code"] == code, error
    assert error["message"]
    assert error["request_id"] == response.headers["X-Request-Id"]
    return error
