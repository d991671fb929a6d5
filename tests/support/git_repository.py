"""A git repository for tests: commits written without a work tree, so that hundreds take a second."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

QUIET = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
File = bytes | tuple[str, bytes]


class GitRepository:
    """Bare. `commit` takes the whole tree: path to bytes, or to (mode, bytes)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time = 1_700_000_000
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(path)], check=True, env=QUIET)

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *arguments],
            input=data, capture_output=True, check=True, env=QUIET,
        )  # fmt: skip
        return done.stdout.decode(errors="surrogateescape").strip()

    def commit(self, files: dict[bytes, File], parents: tuple[str, ...] = (), branch: str = "main") -> str:
        """The new commit's id. Moves the branch there whether or not that is a fast-forward."""
        self.time += 60
        stream = [f"reset refs/heads/{branch}\n\ncommit refs/heads/{branch}\nmark :1\n".encode()]
        stream.append(f"committer T <t@example.org> {self.time} +0000\ndata 0\n".encode())
        for number, parent in enumerate(parents):
            stream.append(f"{'merge' if number else 'from'} {parent}\n".encode())
        stream.append(b"deleteall\n")
        for path, file in files.items():
            mode, content = file if isinstance(file, tuple) else ("100644", file)
            stream.append(b"M %s inline %s\ndata %d\n" % (mode.encode(), _quoted(path), len(content)))
            stream.append(content + b"\n")
        self.git("fast-import", "--quiet", "--force", data=b"".join(stream))
        return self.git("rev-parse", f"refs/heads/{branch}")

    def tree(self, commit: str) -> dict[bytes, str]:
        """Every path of a commit with its object id, from `git ls-tree -r`."""
        listing = self.git("ls-tree", "-r", "-z", commit).encode("utf-8", "surrogateescape")
        entries = (entry.partition(b"\t") for entry in listing.split(b"\0") if entry)
        return {path: fields.split()[2].decode() for fields, _, path in entries}


def _quoted(path: bytes) -> bytes:
    safe = b"".join(bytes((c,)) if 32 <= c < 127 and c not in b'"\\' else b"\\%03o" % c for c in path)
    return b'"' + safe + b'"'
