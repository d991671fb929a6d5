"""A provider that says when to come again: nothing of its pool is sent before, however broken the rest of it is."""

from __future__ import annotations

import asyncio
import gzip
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.operating import operator
from tests.support import gateway_moments as moments
from tests.support.gateway_raw_calls import HELLO, Found, beside, call, calling, run, timely
from tests.support.gateway_raw_server import completion, http, message, say

WAIT = "retry-after: 1"
LIMITED = {"error": {"message": "slow down", "type": "rate_limit_error"}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
ZIPPED = "content-encoding: gzip"
TOLD: dict[str, tuple[str, bytes]] = {
    "429": ("o", http(LIMITED, WAIT, status=429)),
    "429_cut": ("o", http(LIMITED, WAIT, status=429, length=5_000)),
    "429_of_broken_gzip": ("o", http(LIMITED, WAIT, ZIPPED, status=429)),
    "429_of_half_a_gzip": ("o", http(gzip.compress(b"{}" * 500)[:-9], WAIT, ZIPPED, status=429)),
    "429_of_a_broken_chunk": (
        "o",
        b"HTTP/1.1 429 X\r\nretry-after: 1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ),
    "503": ("o", http(LIMITED, WAIT, status=503)),
    "503_cut": ("o", http(b"", WAIT, status=503, length=5_000)),
    "529": ("a", http(OVERLOADED, WAIT, status=529)),
    "429_overloaded": ("a", http(OVERLOADED, WAIT, status=429)),
}


NOTHING = {"0": "0", "0.0": "0.0", "1970": formatdate(0, usegmt=True), "2023": formatdate(1.7e9, usegmt=True)}


async def two(llm: GatewayClient, model: str) -> list[Any]:
    """A call that is told to wait, and another of its pool once the first knows it."""

    async def one() -> Any:
        try:
            return await llm.chat(**HELLO | {"model": model, "deadline": 12.0})
        except GatewayError as error:
            return error

    with operator(llm.settings) as op:
        first = asyncio.create_task(one())
        await moments.true(lambda: any(at["state"] != "held" for at in _attempts(op)))
        return list(await asyncio.gather(first, one()))


async def ask_all(folder: Path) -> dict[str, Found]:
    """Every case at once: most of it is waiting."""
    asked, start = {}, asyncio.Barrier(len(TOLD) + len(NOTHING))
    for case, (model, refused) in TOLD.items():
        script = say(refused, http(message() if model == "a" else completion()))
        asked[case] = beside(script, folder / case, timely(partial(two, model=model), 12.0), start=start)
    for case, wait in NOTHING.items():
        said = say(http(LIMITED, f"retry-after: {wait}", status=429))
        asked[case] = calling(said, folder / case, deadline=1.5, start=start)
    return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    return run(ask_all(tmp_path_factory.mktemp("told_to_wait")))


@pytest.mark.parametrize("case", TOLD)
def test_nothing_of_the_pool_is_sent_before(found: dict[str, Found], case: str) -> None:
    first, *later = [asked.at for asked in found[case].asked]
    assert len(later) >= 1
    assert min(later) - first >= 0.99, [round(at - first, 2) for at in later]
    assert found[case].got[1].text == "Hello"


def _attempts(op: Any) -> list[dict[str, Any]]:
    """The attempts that were sent."""
    made = [attempt for one in op.calls() for attempt in one["attempts"]]
    return [attempt for attempt in made if attempt["granted"]]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "of_broken_gzip"])
def test_what_was_refused_for_good_is_not_retried(tmp_path: Path, status: int, cut: bool) -> None:
    body = b'{"error": {"mess'
    sent = http(body, status=status, length=5_000) if cut else http(body, ZIPPED, status=status)
    found = call(say(sent), tmp_path, deadline=3.0)
    assert getattr(found.error, "status", None) == status
    assert len(found.asked) == 1
    assert found.states == ["released"]


@pytest.mark.parametrize("case", NOTHING)
def test_a_wait_of_nothing_is_no_invitation_to_a_storm(found: dict[str, Found], case: str) -> None:
    assert found[case].error is not None
    assert 1 <= len(found[case].asked) < 10
