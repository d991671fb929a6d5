"""The simulated provider as an ASGI application: the provider's own paths, and /admin.

POST …/chat/completions, …/embeddings, …/messages    whatever stands before
GET  /healthz                                        it runs
GET  /admin/settings, PATCH /admin/settings          how it behaves; a patch replaces what it names
GET  /admin/log[?since=N]                            every entry, or those after number N
GET  /admin/bill                                     JSON Lines, one per attempt that cost something
GET  /admin/faults                                   the names of all faults
POST /admin/reset                                    forget the log and the counts
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from gateway_client.simulator.connection import ClientLeft, Connection, Message, Receive, SendMessage
from gateway_client.simulator.provider import Incoming, SimulatedProvider, faults
from gateway_client.simulator.settings import changed
from gateway_client.simulator.steps import Begin, Send, Step

SERVED = ("/chat/completions", "/embeddings", "/messages")
Answered = tuple[int, str, bytes]


class Application:
    """ASGI's callable."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider
        self._routes: dict[tuple[str, str], Callable[[bytes, dict[str, list[str]]], Answered]] = {
            ("GET", "/healthz"): lambda _, __: _json({"status": "ok"}),
            ("GET", "/admin/settings"): lambda _, __: self._settings(),
            ("PATCH", "/admin/settings"): lambda body, _: self._change(body),
            ("GET", "/admin/log"): lambda _, query: self._log(query),
            ("GET", "/admin/bill"): lambda _, __: self._bill(),
            ("GET", "/admin/faults"): lambda _, __: _json(faults()),
            ("POST", "/admin/reset"): lambda _, __: self._reset(),
        }

    async def __call__(self, scope: Message, receive: Receive, send: SendMessage) -> None:
        if scope["type"] != "http":
            return
        connection = Connection(scope, receive, send)
        try:
            body = await connection.body()
            path, method = scope["path"], scope["method"]
            if method == "POST" and path.endswith(SERVED):
                headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
                }
                await self.provider.serve(Incoming(path, headers, body), connection)
                await connection.gone()
            else:
                query = parse_qs(scope["query_string"].decode("latin-1"))
                await connection.perform(_steps(self._admin(method, path, body, query)))
        except ClientLeft:
            return

    def _admin(self, method: str, path: str, body: bytes, query: dict[str, list[str]]) -> Answered:
        route = self._routes.get((method, path))
        if route is None:
            return _json({"error": {"message": f"nothing is at {method} {path}", "type": "not_found"}}, 404)
        return route(body, query)

    def _settings(self) -> Answered:
        return _json(self.provider.settings.model_dump(mode="json"))

    def _change(self, body: bytes) -> Answered:
        try:
            self.provider.change(changed(self.provider.settings, json.loads(body)))
        except (ValidationError, ValueError, TypeError, AttributeError) as wrong:
            return _json({"error": {"message": str(wrong), "type": "invalid_settings"}}, 422)
        return self._settings()

    def _log(self, query: dict[str, list[str]]) -> Answered:
        since = query.get("since", ["0"])[0]
        if not since.isdecimal():
            return _json({"error": {"message": "since is a number", "type": "invalid"}}, 422)
        return _json([entry.document() for entry in self.provider.log.entries[int(since) :]])

    def _bill(self) -> Answered:
        lines = [json.dumps(line) + "\n" for line in self.provider.log.bill()]
        return 200, "application/x-ndjson", "".join(lines).encode()

    def _reset(self) -> Answered:
        self.provider.reset()
        return _json({"status": "ok"})


def _json(document: Any, status: int = 200) -> Answered:  # noqa: ANN401 - any JSON
    return status, "application/json", json.dumps(document).encode()


def _steps(answered: Answered) -> tuple[Step, ...]:
    status, kind, data = answered
    return (Begin(status, (("content-type", kind),), len(data)), Send(data))
