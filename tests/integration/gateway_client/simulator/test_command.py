"""`holdfast simulate-provider` as a process: options, the log file, signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.commands.simulate_provider import rule
from tests.support.command_line import ROOT

BODY = {"model": "sim-alone-2026-01-01", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def simulated(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    command = [sys.executable, "-m", "cli", "simulate-provider", "--port", str(port), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(url, process)
        yield url, process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def await_health(url: str, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        try:
            httpx.get(f"{url}/healthz", verify=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the command did not start")


def post(url: str, request_id: str, **headers: str) -> httpx.Response:
    given = {"x-request-id": request_id, **headers}
    return httpx.post(f"{url}/openai/chat/completions", json=BODY, headers=given, verify=False)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_plays_logs_and_ends(tmp_path: Path, end: signal.Signals) -> None:
    log = tmp_path / "seen.jsonl"
    options = ["--log", str(log), "--reject-every", "3", "--retry-after", "2", "--json"]
    with simulated(*options) as (url, process):
        statuses = [post(url, f"r{number}").status_code for number in range(6)]
        assert statuses == [200, 200, 429, 200, 200, 429]
        assert post(url, "r6", **{"x-simulate": "html"}).headers["content-type"].startswith("text/html")
        process.send_signal(end)
        out, err = process.communicate(timeout=20)
    # A signal is how it ends, so it is no failure.
    assert process.returncode in (0, 130, -end), err
    assert json.loads(out)["openai"] == f"{url}/openai"
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["request_id"] for entry in seen] == [f"r{number}" for number in range(7)]
    assert [entry["retry_after"] for entry in seen if entry["refused"]] == [2.0, 2.0]


def test_a_file_of_settings_with_options_on_top(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('seed = 5\ncapacity = 3\n[[rules]]\nfault = "html"\n')
    with simulated("--config", str(config), "--capacity", "9", "--fault", "status=503; share=1.0") as (
        url,
        _,
    ):
        found = httpx.get(f"{url}/admin/settings", verify=False).json()
        assert (found["seed"], found["capacity"], len(found["rules"])) == (5, 9, 1)
        assert post(url, "r1").status_code == 503


@pytest.mark.parametrize(
    "options",
    [
        ["--fault", "nonsense"],
        ["--fault", "html; colour=red"],
        ["--fault", "share=0.5"],
        ["--reject-every", "3", "--reject-share", "0.5"],
        ["--reject-share", "1.5"],
        ["--capacity", "-1"],
        ["--config", "/dev/null/absent"],
        ["--catalogue", "/dev/null/absent"],
    ],
)
def test_wrong_use(options: list[str]) -> None:
    command = [sys.executable, "-m", "cli", "simulate-provider", "--json", "--port", "0", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("html", {"fault": "html"}),
        ("stall; after=3; share=0.1", {"fault": "stall", "after": "3", "share": "0.1"}),
        ("status=503", {"fault": "status", "status": "503"}),
        ("invalid_json; attempts=1,2", {"fault": "invalid_json", "attempts": ["1", "2"]}),
    ],
)
def test_a_fault_as_a_rule(text: str, meant: dict[str, Any]) -> None:
    assert rule(text) == meant
