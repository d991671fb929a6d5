"""`up` before anything starts: ports, processes, the workspace file; and progress for people."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from cli import ports
from cli.errors import NotReady, PortTaken
from cli.home import workspace
from cli.ports import reachable, refuse_taken, wait_for
from cli.progress import BarProgress, shown_progress
from cli.running import child_specs
from registry.settings import Settings
from tests.support.command_line import HereCommand


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_said_before_anything_starts(
    holdfast: HereCommand, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.supervisor.spawn", lambda spec: pytest.fail("something was started"))
    for arguments in (
        ["serve", "--port", str(taken)],
        ["up", "--port", str(taken), "--dagster-port", str(free_port())],
        ["up", "--port", str(free_port()), "--dagster-port", str(taken)],
    ):
        ended = holdfast(*arguments, "--json")
        assert (ended.status, ended.error["code"]) == (1, "port_taken"), arguments
        assert str(taken) in ended.error["message"]
        assert arguments[arguments.index(str(taken)) - 1] in ended.error["message"]


def test_a_free_port_is_free() -> None:
    refuse_taken("127.0.0.1", free_port(), "a test", "--port")
    with pytest.raises(PortTaken, match=r"no\.such\.host"):
        refuse_taken("no.such.host.invalid", 1, "a test", "--port")


@pytest.mark.parametrize(
    ("host", "name"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("example.org", "example.org")],
)
def test_where_a_listener_is_reached(host: str, name: str) -> None:
    assert reachable(host) == name


def test_waiting_ends_with_a_stop_or_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looks = threading.Event(), list[int]()
    url = f"http://127.0.0.1:{free_port()}/readyz"
    with pytest.raises(NotReady, match=r"the API is not ready after 0 s .*ConnectError"):
        wait_for(url, "the API", 0.0, stop)
    monkeypatch.setattr(ports.time, "monotonic", lambda: 0.0)

    def look() -> None:
        looks.append(1)
        stop.set()

    assert wait_for(url, "the API", 5.0, stop, look) is False
    assert looks == [1]


def test_the_four_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "elsewhere")
    settings = Settings(home=Path("relative"), port=8701, dagster_port=3001)
    (tmp_path / "relative").mkdir()
    specs = {spec.name: spec for spec in child_specs(settings)}
    assert list(specs) == ["api", "capturer", "dagster-webserver", "dagster-daemon"]
    for spec in specs.values():
        assert spec.environment["HOLDFAST_HOME"] == str(tmp_path / "relative")
        assert spec.environment["DAGSTER_HOME"] == str(tmp_path / "relative" / "dagster")
        assert spec.log.parent == tmp_path / "relative" / "logs"
    assert "8701" in specs["api"].command
    assert "3001" in specs["dagster-webserver"].command
    for name in ("dagster-webserver", "dagster-daemon"):
        assert Path(specs[name].command[0]).is_file()
        assert str(tmp_path / "relative" / "workspace.yaml") in specs[name].command


def test_the_workspace_is_the_folders_own_where_it_loads_our_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert workspace(settings) == tmp_path / "workspace.yaml"
    assert "pipelines.definitions" in (tmp_path / "workspace.yaml").read_text()
    (here / "workspace.yaml").write_text("load_from: [python_module: another.project]")
    assert workspace(settings) == tmp_path / "workspace.yaml"
    (here / "workspace.yaml").write_text("load_from: [python_module: pipelines.definitions]")
    assert workspace(settings) == here / "workspace.yaml"


def test_bars_pulse_where_there_is_no_size_and_fill_where_there_is() -> None:
    with Bars(console=Console(file=io.StringIO()), auto_refresh=False) as bars:
        progress = BarProgress(bars)
        by_name = lambda: {task.description: task for task in bars.tasks}  # noqa: E731
        assert by_name()["capture"].total is None
        progress.begin("documents", 2)
        assert by_name()["capture"].finished
        progress.advance("documents", 2)
        assert by_name()["documents"].finished
        assert "checks" not in by_name()
        progress.begin("embeddings", 0)
        assert by_name()["embeddings"].finished
        progress.begin("index", 3)
        progress.advance("index")
        assert by_name()["index"].completed == 1
        progress.advance("index", 2)
        assert by_name()["checks"].total is None
        progress.close()
        assert all(task.finished for task in bars.tasks)


def test_without_a_terminal_a_stage_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    with shown_progress("acme") as progress:
        progress.begin("documents", 3)
        progress.advance("documents", 3)
    assert err.getvalue() == "acme: documents, 3 to do\n"
