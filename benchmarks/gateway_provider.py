"""A simulated provider in a process of its own; `log` on stdin prints what it saw, `reset` and `change` alter it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway_client.simulator.running import Simulator


class Provider:
    """The other end of the pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._ask("url")

    def log(self) -> list[dict[str, Any]]:
        """Every request so far."""
        return list(self._ask("log"))

    def change(self, **settings: object) -> None:
        """Behave otherwise, and forget what was seen."""
        self._ask("change " + json.dumps(settings))

    def _ask(self, command: str) -> Any:  # noqa: ANN401 - any JSON
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def provider(**settings: object) -> Iterator[Provider]:
    """A provider, for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.gateway_provider", json.dumps(settings)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield Provider(process)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    with Simulator(**json.loads(sys.argv[1])) as simulator:
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            if command == "change":
                simulator.change(**json.loads(argument))
                simulator.reset()
            answers = {"url": simulator.url, "change": None}
            found = [entry.document() for entry in simulator.log] if command == "log" else answers[command]
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
