"""Help is quick, complete, and imports nothing heavy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from cli.lazy import COMMANDS, load
from tests.support.command_line import ROOT, HereCommand, run

HEAVY = ("dagster", "torch", "qdrant_edge", "sentence_transformers", "transformers")
# Runs commands one after another and tells, as the last line of stderr, what each was the first to load.
WATCHED = """
import json, sys
from cli.main import main
heavy, calls = json.loads(sys.argv[1]), json.loads(sys.argv[2])
told = []
for arguments in calls:
    try:
        main(arguments)
    except SystemExit as ended:
        told.append([ended.code, [name for name in heavy if name in sys.modules]])
sys.stderr.write("\\n" + json.dumps(told))
"""


def loaded_by(home: Path, calls: list[list[str]]) -> list[list[object]]:
    """[exit status, heavy modules loaded so far] of each call, all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(HEAVY), json.dumps(calls)],
        cwd=ROOT, env={"HOLDFAST_HOME": str(home), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return list(json.loads(done.stderr.splitlines()[-1]))


def leaves() -> list[list[str]]:
    found = []
    for name, _, _ in COMMANDS:
        found.append([name])
        found += [[name, inner] for inner in getattr(load(name), "commands", {})]
    return found


def test_help_takes_less_than_half_a_second(tmp_path: Path) -> None:
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(tmp_path, "--help", cwd=tmp_path).status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of processor time: what others do on the machine meanwhile is not the command's doing.
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
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
    assert len(command.help or "") > 20
    if not hasattr(command, "commands"):
        assert "--json" in ended.stdout


def test_every_option_is_explained() -> None:
    for words in leaves():
        command = load(words[0])
        command = command.commands[words[1]] if len(words) > 1 else command
        for parameter in command.params:
            assert parameter.help, f"{' '.join(words)}: {parameter.name}"


def test_help_and_small_commands_load_nothing_heavy(acme: HereCommand) -> None:
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
    assert loaded_by(acme.home, light) == [[0, []]] * len(light)


def test_nothing_at_all_is_a_call_for_help(holdfast: HereCommand) -> None:
    for words in ([], ["tenant"], ["key"]):
        ended = holdfast(*words)
        assert ended.status == 2
        assert "Usage: holdfast" in ended.stdout + ended.stderr


def test_the_version_is_told(holdfast: HereCommand) -> None:
    ended = holdfast("--version")
    assert (ended.status, ended.stdout.split()[0]) == (0, "holdfast")


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_help_fits_eighty_columns_and_flows(
    holdfast: HereCommand, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is too long, no value is broken, and no line of a paragraph ends before the next word needs it to."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = holdfast(*words, "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "s>" in line and "<" not in line], "a choice was cut in two"
    text = [line.strip() for line in lines[: next(i for i, line in enumerate(lines) if line.startswith("╭"))]]
    for line, following in pairwise(text):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 78, f"{line!r} breaks before {following!r}"


def test_no_argument_is_given_two_ellipses(holdfast: HereCommand) -> None:
    for words in leaves():
        assert "…]..." not in holdfast(*words, "--help").stdout, words
