"""Ports: whether one is free, and whether what should answer there does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import httpx

from cli.errors import NotReady, PortTaken


def refuse_taken(host: str, port: int, purpose: str, option: str) -> None:
    """Raise PortTaken where nobody could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"the port {port} of {host} for {purpose} cannot be used ({error.strerror}): "
                f"choose another with {option}"
            ) from error


def wait_for(
    url: str, purpose: str, seconds: float, stop: threading.Event, look: Callable[[], None] = lambda: None
) -> bool:
    """Wait until a URL answers with success; False where `stop` was set first. Raises NotReady.

    `look` is called between tries.
    """
    deadline, said = time.monotonic() + seconds, "no answer"
    while not stop.is_set():
        try:
            answer = httpx.get(url, timeout=5.0)
            if answer.is_success:
                return True
            said = f"{answer.status_code} {answer.text[:200]}"
        except httpx.HTTPError as error:
            said = type(error).__name__
        if time.monotonic() > deadline:
            raise NotReady(f"{purpose} is not ready after {seconds:.0f} s ({url}: {said})")
        look()
        stop.wait(0.2)
    return False


def reachable(host: str) -> str:
    """The name under which a listening address is reached from this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - a comparison, not a binding
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
