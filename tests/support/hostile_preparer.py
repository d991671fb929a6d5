"""A preparer to which some documents do what a parser's bug would do. Imports next to nothing: a child does too."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.prepared import PreparedDocument, Preparer
from pipelines.errors import ParseError

SECRET = "nobody may read this"
poisoned = False


def spin() -> None:
    while True:
        pass


def spin_in_c() -> None:
    """Without ever letting go of the interpreter's lock, or looking at signals."""
    re.match("(a+)+$", "a" * 60 + "b")


def swallow() -> None:
    held = []
    while True:
        held.append(bytearray(10 * 2**20))


def poison() -> None:
    global poisoned
    poisoned = True


def fail() -> None:
    raise ValueError(SECRET)


def refuse() -> None:
    raise ParseError("is refused")


def talk() -> None:
    print(SECRET)
    print(SECRET, file=sys.stderr)
    os.write(1, SECRET.encode())
    os.write(2, SECRET.encode())


DEEDS: dict[str, Callable[[], object]] = {
    "!spin": spin,
    "!spin-in-c": spin_in_c,
    "!sleep": lambda: time.sleep(60),
    "!nap": lambda: time.sleep(2),
    "!exit": lambda: os._exit(3),
    "!kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "!crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "!swallow": swallow,
    "!poison": poison,
    "!fail": fail,
    "!refuse": refuse,
    "!talk": talk,
}


@dataclass(frozen=True)
class HostilePreparer:
    """Does what a document's first word says, then prepares it by `inner`; without one, names its process.

    What it was asked is in the file `asked`, a line each: its process, and the first two words.
    """

    asked: Path
    inner: Preparer | None = None

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        words = content[:100].decode().split()[:2]
        with self.asked.open("a") as file:
            file.write(f"{os.getpid()} {' '.join(words)}\n")
        if poisoned:
            os.kill(os.getpid(), signal.SIGKILL)
        if words and words[0] in DEEDS:
            DEEDS[words[0]]()
        if self.inner is not None:
            return self.inner.prepare(content, media_type, title)
        return PreparedDocument(str(os.getpid()), ())

    def configuration(self, model_id: str) -> BuildConfiguration:
        assert self.inner is not None
        return self.inner.configuration(model_id)

    def asked_for(self) -> list[str]:
        """The first two words of every document that it was asked to prepare."""
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        return [line.split(" ", 1)[1] for line in lines]

    def process(self) -> int:
        """That of the last one."""
        return int(self.asked.read_text().splitlines()[-1].split()[0])


class Unreadable(HostilePreparer):
    """Cannot be had in another process."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return fail, ()
