"""The gateway client: the one way to call a model provider. docs/rooms/gateway_client.md says how it behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway_client.client import GatewayClient
    from gateway_client.sync import SyncGatewayClient

__all__ = ["GatewayClient", "SyncGatewayClient"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """Imported when asked for: the errors alone must not cost the whole room."""
    if name == "GatewayClient":
        from gateway_client.client import GatewayClient

        return GatewayClient
    if name == "SyncGatewayClient":
        from gateway_client.sync import SyncGatewayClient

        return SyncGatewayClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
