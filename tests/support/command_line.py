"""`holdfast` for tests: called in this process, or as a process of its own."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry.settings import settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; anything else there is a failure."""
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The error of the JSON document, and of nothing but that."""
        assert list(self.document) == ["error"], self.stdout
        return self.document["error"]


class HereCommand:
    """Calls the command in this process: quick, and without Dagster's partitions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self._monkeypatch = monkeypatch
        self.home = home
        monkeypatch.setenv("HOLDFAST_HOME", str(home))
        monkeypatch.setenv("COLUMNS", "160")  # as wide as a terminal, whatever runs the tests
        settings.cache_clear()
        for module in ("cli.commands.tenant", "cli.erasure"):
            monkeypatch.setattr(f"{module}.synchronise_partitions", lambda *_: None)

    def __call__(self, *arguments: str, typed: str = "") -> Ended:
        from cli.main import main

        out, err, root, ours = (
            io.StringIO(),
            io.StringIO(),
            logging.getLogger(),
            logging.getLogger("holdfast"),
        )
        handlers, levels = list(root.handlers), (root.level, ours.level)
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", io.StringIO(typed))
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a process of the command line needs to know."""
    machine = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**machine, "HOLDFAST_HOME": str(home), "PYTHONPATH": str(ROOT), **more}


def run(home: Path, *arguments: str, cwd: Path | None = None, timeout: float = 120, **more: str) -> Ended:
    """Runs the command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=cwd or home.parent, env=environment(home, **more), capture_output=True, text=True,
        timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)
