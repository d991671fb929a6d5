"""The commands that run until they are told to end: the API, the capturer, everything."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.support.acme_home import Home
from tests.support.command_line import environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command as a process, killed if the test does not end it."""
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        env=environment(home.path), cwd=home.path.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def first_document(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if line == "}\n":
            return dict(json.loads(lines))
    raise AssertionError(f"no document but {lines!r}: {process.stderr.read()}")


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_the_api_serves_until_it_is_told_to_end(published: Home) -> None:
    key = published("key", "create", "--tenant", "acme", "--json").document["key"]
    with running(published, "serve", "--port", str(free_port()), "--json") as process:
        url = first_document(process)["url"]
        eventually(lambda: answers(f"{url}/readyz"))
        found = httpx.post(
            f"{url}/v1/search", json={"query": "ballast", "k": 1}, headers={"Authorization": f"Bearer {key}"}
        ).json()
        asked = published("search", "ballast", "--tenant", "acme", "--k", "1", "--json").document
        same = [name for name in found if name not in ("request_id", "age_seconds", "timings")]
        assert {name: found[name] for name in same} == {name: asked[name] for name in same}
        assert set(found) == set(asked)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert rest == ""
        assert process.returncode == 0


def test_the_capturer_captures_until_it_is_told_to_end(changeable: Home) -> None:
    with running(changeable, "capture", "--json") as process:
        (changeable.folder / "new.md").write_text("# New\n\nSomething new.\n")

        def captured() -> bool:
            return changeable("document", "history", "new.md", "--tenant", "acme").status == 0

        eventually(captured)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    totals = json.loads(out)
    assert (process.returncode, totals["commits"], totals["upserts"]) == (0, 1, 1)
    assert "1 commit (1 upsert, 0 deletions)" in err


@pytest.mark.timeout(300)
def test_everything_comes_up_mends_itself_and_goes_down(changeable: Home) -> None:
    ports = ["--port", str(free_port()), "--dagster-port", str(free_port())]
    with running(changeable, "up", *ports, "--json") as process:
        where = first_document(process)
        assert answers(f"{where['api']}/readyz")
        assert answers(f"{where['dagster']}/server_info")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4
        (api,) = [child for child in children if "serve" in child.cmdline()]
        api.kill()
        eventually(lambda: not answers(f"{where['api']}/healthz"))
        eventually(lambda: answers(f"{where['api']}/healthz"))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "api was ended by SIGKILL" in err
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
