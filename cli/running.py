"""`holdfast up` without its printing: which processes there are, and when they are ready."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from cli.dagster_instance import make_dagster_storage
from cli.home import initialise, prepare_dagster_home, workspace
from cli.ports import reachable, refuse_taken, wait_for
from cli.supervisor import ChildSpec, Supervisor, Tell
from registry.settings import Settings

STARTUP_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things are once they run."""

    api: str
    docs: str
    dagster: str
    logs: Path


def addresses(settings: Settings) -> Addresses:
    """The addresses of these settings."""
    api = f"http://{reachable(settings.host)}:{settings.port}"
    dagster = f"http://{reachable(settings.host)}:{settings.dagster_port}"
    return Addresses(api, f"{api}/docs", dagster, settings.state / "logs")


def prepared(settings: Settings, tell: Tell, stop: threading.Event) -> Supervisor:
    """A supervisor of the four processes, not started yet. Raises PortTaken."""
    refuse_taken(settings.host, settings.port, "the API", "--port")
    refuse_taken(settings.host, settings.dagster_port, "the Dagster web server", "--dagster-port")
    initialise(settings)
    make_dagster_storage(settings)  # the web server and the daemon would each do so
    return Supervisor(child_specs(settings), tell, stop)


def wait_until_ready(supervisor: Supervisor, settings: Settings) -> bool:
    """Wait for the API and the web server; False where a stop was asked for meanwhile. Raises NotReady."""
    found = addresses(settings)
    for url, purpose in (
        (f"{found.api}/readyz", "the API"),
        (f"{found.dagster}/server_info", "the Dagster web server"),
    ):
        if not wait_for(
            url, f"{purpose} (log: {found.logs})", STARTUP_SECONDS, supervisor.stop, supervisor.look
        ):
            return False
    return True


def child_specs(settings: Settings) -> list[ChildSpec]:
    """API, capturer, Dagster web server and daemon."""
    folder = prepare_dagster_home(settings)
    environment = {
        **os.environ,
        "HOLDFAST_HOME": str(settings.state),
        "DAGSTER_HOME": str(folder),
        # Progress and logs appear in the log files as they are written.
        "PYTHONUNBUFFERED": "1",
    }
    own = [sys.executable, "-m", "cli"]
    loads = ["-w", str(workspace(settings))]
    where = ["-h", settings.host, "-p", str(settings.dagster_port)]
    commands = {
        "api": [*own, "serve", "--host", settings.host, "--port", str(settings.port)],
        "capturer": [*own, "capture"],
        "dagster-webserver": [_beside_python("dagster-webserver"), *where, *loads],
        "dagster-daemon": [_beside_python("dagster-daemon"), "run", *loads],
    }
    logs = settings.state / "logs"
    return [ChildSpec(name, command, environment, logs / f"{name}.log") for name, command in commands.items()]


def _beside_python(name: str) -> str:
    """An executable of this environment, whether or not the environment was activated."""
    return str(Path(sys.executable).with_name(name))
