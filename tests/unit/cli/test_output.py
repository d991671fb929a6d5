"""JSON mode: one document on stdout, whatever else anybody prints."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.formatting import plural, short, size, span, without_password
from cli.logs import configure
from cli.output import print_document
from registry.settings import Settings
from tests.support.command_line import ROOT

NOISY = """
import os, sys
from cli.output import note, print_document, reserved_stdout
with reserved_stdout():
    print("a library prints")
    os.write(1, b"an engine writes\\n")
    os.system("echo a child says")
    sys.__stdout__.write("and an old reference\\n"); sys.__stdout__.flush()
    print_document({"café": "\\udcff"})
    note("a hint")
    print("afterwards")
print("after all")
"""


def test_whatever_is_printed_elsewhere_goes_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", NOISY], cwd=ROOT, capture_output=True, text=True, check=True)
    document, _, rest = done.stdout.rpartition("}\n")
    assert json.loads(document + "}") == {"café": "\udcff"}
    # Where the reservation ended, stdout is an ordinary stdout again.
    assert rest in ("after all\n", "")
    for noise in (
        "a library prints",
        "an engine writes",
        "a child says",
        "old reference",
        "a hint",
        "afterwards",
    ):
        assert noise in done.stderr
        assert noise not in done.stdout


def test_what_json_cannot_say_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    print_document({"at": datetime(2026, 1, 2, tzinfo=UTC), "path": Path("a/b"), "set": {"b", "a"}})
    found = json.loads(capsys.readouterr().out)
    assert found == {"at": "2026-01-02T00:00:00+00:00", "path": "a/b", "set": ["a", "b"]}
    with pytest.raises(TypeError, match="object has no JSON form"):
        print_document(object())


def test_passwords_are_not_shown() -> None:
    assert without_password("postgresql://ann:s3cr3t@db:5432/x") == "postgresql://ann:***@db:5432/x"
    assert (
        without_password("fatal: https://x:token@git.example/r.git: 403")
        == "fatal: https://x:***@git.example/r.git: 403"
    )
    for plain in (
        "https://git.example/a:b@c",
        "git@git.example:r.git",
        "relative/path",
        "postgresql://ann@db/x",
    ):
        assert without_password(plain) == plain


def test_numbers_as_people_read_them() -> None:
    assert [size(n) for n in (0, 999, 1_000, 2_500_000, 3e12)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "2.5 MB",
        "3000.0 GB",
    ]
    assert [span(s) for s in (0.25, 59, 60, 5400, 172_800)] == [
        "0.2 s",
        "59.0 s",
        "1.0 min",
        "1.5 h",
        "2.0 d",
    ]
    assert [plural(n, "chunk") for n in (0, 1, 2_000)] == ["0 chunks", "1 chunk", "2,000 chunks"]
    assert short("0123456789abcdef0123456789abcdef01234567") == "0123456789ab"
    assert short("2-sweep/17") == "2-sweep/17"


def test_an_interruption_within_a_library_prints_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("holdfast")
    before = (root.handlers[:], root.level, ours.level)
    try:
        configure(Settings(), spoken=False)
        for raised in (KeyboardInterrupt(), OSError("no such disk")):
            logging.getLogger("sqlalchemy.pool").error("closing a connection", exc_info=raised)
    finally:
        root.handlers[:], (level, our_level) = before[0], before[1:]
        root.setLevel(level)
        ours.setLevel(our_level)
    said = capsys.readouterr().err
    assert "KeyboardInterrupt" not in said
    assert "no such disk" in said
