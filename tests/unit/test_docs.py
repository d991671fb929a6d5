"""What the documents say is so: settings, commands, pins; and nothing in the tree is of one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway_client.settings import GatewaySettings
from registry.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PREFIX = Settings.model_config["env_prefix"]
ELSEWHERE = {
    "HOLDFAST_CRASH_AT": "tests kill a process there",
    "HOLDFAST_FULL": "acceptance tests at their full size",
    "HOLDFAST_LITELLM_PYTHON": "an environment with the peer, for benchmarks",
}


def documented_settings() -> dict[str, tuple[str, str]]:
    """Name to (default, meaning) from the table of docs/settings.md."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    return {name: (default.strip("`"), meaning) for name, default, meaning in rows}


def actual_settings() -> dict[str, tuple[str, str]]:
    return {
        f"{room.model_config['env_prefix']}{name.upper()}": (
            str("" if f.default is None else f.default),
            str(f.description),
        )
        for room in (Settings, GatewaySettings)
        for name, f in room.model_fields.items()
    }


def test_every_setting_is_documented_as_it_is() -> None:
    assert documented_settings() == actual_settings()


def test_every_setting_that_is_named_anywhere_exists() -> None:
    pattern = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b")
    named = {name for path in DOCUMENTS for name in pattern.findall(path.read_text())}
    assert named - set(actual_settings()) - set(ELSEWHERE) == set()


def test_every_metric_is_documented() -> None:
    from retrieval.api import metrics

    named = re.findall(r"`(holdfast_\w+|_\w+)`", (ROOT / "docs/operations.md").read_text())
    families = (metrics.BY_TENANT, metrics.BY_SOURCE, metrics.BY_LETTER, metrics.BY_BUILD)
    gauges = {f"holdfast_{name}" for family in families for name in family}
    assert [gauge for gauge in sorted(gauges) if not any(gauge.endswith(name) for name in named)] == []


def code_lines(text: str) -> Iterator[str]:
    """Lines of fenced blocks, and inline code."""
    for number, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if number % 2:
            yield from part.splitlines()
        else:
            yield from re.findall(r"`([^`]+)`", part.replace("\n", " "))


def commands_named(text: str) -> Iterator[list[str]]:
    """The words of each call of `holdfast`, up to a pipe, a comment, or the next command."""
    for line in code_lines(text):
        for call in re.findall(r"(?:^|[\s/])holdfast\s+([^|#;&)>]*)", line):
            yield call.split()


def wrong_in(words: list[str]) -> str | None:
    """What a call of `holdfast` names that does not exist."""
    from cli.lazy import COMMANDS, load

    if not words or not re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return None
    if words[0] not in {name for name, _, _ in COMMANDS}:
        return words[0]
    command = load(words[0])
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        named = words[1].split("|") if len(words) > 1 and re.fullmatch(r"[a-z|-]+", words[1]) else []
        wrong = [name for name in named if name not in command.commands]
        if wrong or not named:
            return " ".join([words[0], *wrong]) if wrong else None
        command = command.commands[named[0]]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = [match[0] for word in words if (match := re.match(r"--[a-z][a-z-]*", word.lstrip("[")))]
    return next((f"{words[0]} {option}" for option in options if option not in known | {"--help"}), None)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    assert [wrong for words in commands_named(path.read_text()) if (wrong := wrong_in(words))] == []


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    block = "```\nholdfast ingest --sideways\nholdfast levitate | cat\n```\n"
    text = f"Run `holdfast tenant conjure NAME`, or:\n{block}"
    assert [wrong_in(words) for words in commands_named(text)] == [
        "tenant conjure",
        "ingest --sideways",
        "levitate",
    ]


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {canonical(r) for r in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = {canonical(line): line for line in lines}
    assert wanted - set(pins) == set()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert pins["torch"] == "torch==2.13.0"
    assert [line for line in lines if re.match(r"nvidia|cuda|triton", line)] == []


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("this is no git checkout: nothing says which files belong to it")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_holds_a_path_of_one_machine() -> None:
    forbidden = [f"/{folder}/".encode() for folder in ("work", "root")]
    found = [p.relative_to(ROOT) for p in tracked_files() if any(f in p.read_bytes() for f in forbidden)]
    assert found == []
