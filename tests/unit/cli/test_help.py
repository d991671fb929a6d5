"""Help is quick, complete, and imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.lazy import COMMANDS, load
from tests.support.command_line import ROOT, HereCommand, run

HEAVY = ("dagster", "torch", "qdrant_edge", "sentence_transformers", "transformers")
# Runs the command and tells, as the last line of stderr, which of the heavy modules it loaded.
WATCHED = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps([m for m in json.loads(sys.argv.pop()) if m in sys.modules])))
arguments, sys.argv[1:] = sys.argv[1:-1], sys.argv[-1:]
from cli.main import main
main(arguments)
"""


def loaded_by(home: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments, json.dumps(HEAVY)],
        cwd=ROOT, env={"HOLDFAST_HOME": str(home), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stderr.splitlines()[-1])


def leaves() -> list[list[str]]:
    found = []
    for name, _, _ in COMMANDS:
        found.append([name])
        found += [[name, inner] for inner in getattr(load(name), "commands", {})]
    return found


def test_help_takes_less_than_half_a_second(tmp_path: Path) -> None:
    took = []
    for _ in range(3):
        started = time.perf_counter()
        assert run(tmp_path, "--help", cwd=tmp_path).status == 0
        took.append(time.perf_counter() - started)
    assert min(took) < 0.5


def test_help_names_every_command(holdfast: HereCommand) -> None:
    shown = holdfast("--help").stdout
    for name, _, text in COMMANDS:
        assert f" {name} " in shown
        assert text.split()[0] in shown
    assert holdfast("-h").stdout == shown


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_help_explains_its_command(holdfast: HereCommand, words: list[str]) -> None:
    ended = holdfast(*words, "--help")
    assert ended.status == 0
    assert f"Usage: holdfast {' '.join(words)}" in ended.stdout
    command = load(words[0])
    command = command.commands[words[1]] if len(words) > 1 else command
    assert command.help and len(command.help) > 20
    if not hasattr(command, "commands"):
        assert "--json" in ended.stdout


def test_every_option_is_explained() -> None:
    for words in leaves():
        command = load(words[0])
        command = command.commands[words[1]] if len(words) > 1 else command
        for parameter in command.params:
            assert parameter.help, f"{' '.join(words)}: {parameter.name}"


def test_help_and_small_commands_load_nothing_heavy(acme: HereCommand) -> None:
    home = acme.home
    light = [
        ["--help"],
        ["ingest", "--help"],
        ["up", "--help"],
        ["demo", "--help"],
        ["key", "list", "--tenant", "acme"],
        ["contract", "show", "--tenant", "acme"],
        ["source", "list"],
        ["generations", "--tenant", "acme"],
        ["deletion", "list", "--tenant", "acme"],
        ["document", "list", "--tenant", "acme"],
        ["tenant", "show", "acme"],
    ]
    for arguments in light:
        assert loaded_by(home, *arguments) == (0, []), arguments


def test_nothing_at_all_is_a_call_for_help(holdfast: HereCommand) -> None:
    for words in ([], ["tenant"], ["key"]):
        ended = holdfast(*words)
        assert ended.status == 2
        assert "Usage: holdfast" in ended.stdout + ended.stderr


def test_the_version_is_told(holdfast: HereCommand) -> None:
    ended = holdfast("--version")
    assert (ended.status, ended.stdout.split()[0]) == (0, "holdfast")
