"""What the sensor and the hourly schedule ask for: a run for each tenant that has something to apply."""

import dagster as dg

from pipelines.ingestion.due import due_tenants
from pipelines.ingestion.ingestion import Ingestion
from registry import runs


def run_requests(parts: Ingestion, most: int | None = None) -> list[dg.RunRequest]:
    """At most so many requests, each with a key of its own: what was asked for before waits for its next try.

    Those that wait take nobody's place. One transaction, however many are due.
    """
    due = due_tenants(parts.registry, parts.configuration, parts.clock)
    requests: list[dg.RunRequest] = []
    if not due:
        return requests
    with parts.registry.write() as session:
        for one in sorted(due, key=lambda one: one.tenant_id):  # tenants are locked in this order
            if len(requests) == most:
                break
            key = runs.next_run_key(session, one.tenant_id, one.identity, parts.clock())
            if key is not None:
                requests.append(dg.RunRequest(run_key=key, partition_key=one.tenant_id))
    return requests
