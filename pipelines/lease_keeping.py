"""Keeping a lease alive while long work is under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from registry import leases
from registry.clock import Clock
from registry.database import Registry
from registry.errors import LeaseLost

log = logging.getLogger("holdfast.leases")


@contextmanager
def kept(registry: Registry, name: str, token: int, ttl: float, clock: Clock) -> Iterator[None]:
    """Renew a lease of `ttl` seconds in the background; one that is lost meanwhile shows where it fences."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(ttl / 3):
            try:
                with registry.write() as session:
                    leases.renew(session, name, token, ttl, clock())
            except LeaseLost as error:
                log.warning("%s", error)
                return
            except OperationalError as error:
                # The registry is busy or away for a moment: the next beat may come through in time.
                log.warning("the lease %s could not be renewed: %s", name, error.orig)

    thread = threading.Thread(target=renew, name=f"keep-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
