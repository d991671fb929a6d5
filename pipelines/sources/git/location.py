"""Where a repository is: read in place on this machine, mirrored into a cache from anywhere else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.git.mirror import FETCH_SECONDS, Mirror
from pipelines.sources.git.repository import Repository, ask

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/\s:]+:(?!/?/)")


def repository_name(uri: str) -> str:
    """The last part of a repository's address, without .git: what its documents' URIs begin with."""
    name = re.split(r"[/:]", uri.rstrip("/").removesuffix("/.git"))[-1]
    return name.removesuffix(".git").removesuffix(".bundle") or "repository"


class Location:
    """The address of a repository: a path, a bundle, or anything that git can fetch."""

    def __init__(self, uri: str, cache: Path) -> None:
        if not uri or uri.startswith("-") or "::" in uri or "\x00" in uri:
            raise SourceError(f"{uri!r} is not a repository; give a path or a URL that git can fetch")
        self.uri = uri
        self._cache = cache
        self._path = _local_path(uri)

    def open(self, branch: str | None) -> tuple[Repository, str]:
        """The repository as it is now, and the id of the branch's newest commit.

        Raises SourceUnavailable where the repository or the branch is missing.
        """
        if self._path is not None and not self._path.exists():
            raise SourceUnavailable(f"there is no repository at {self._path}")
        if self._path is not None and self._path.is_dir():
            repository = Repository(self._git_directory(self._path))
            return repository, _tip(repository, branch)
        return self._fetched(branch)

    @staticmethod
    def _git_directory(path: Path) -> Path:
        # The ceiling keeps git from answering for a repository that merely contains the path.
        top = path.resolve()
        try:
            found = ask(
                "-C", str(top), "rev-parse", "--absolute-git-dir", GIT_CEILING_DIRECTORIES=str(top.parent)
            )
        except SourceUnavailable as error:
            raise SourceUnavailable(f"{path}: {error}") from error
        return Path(found.decode(errors="surrogateescape").rstrip("\n"))

    def suspect(self) -> None:
        """A read failed, or what was read before is no longer there: a mirror is looked at before it is used again."""
        if self.is_mirrored:
            self._mirror().suspect()

    @property
    def is_mirrored(self) -> bool:
        """Whether what is read is a copy of ours."""
        return self._path is None or not self._path.is_dir()

    def _mirror(self) -> Mirror:
        directory = self._cache / f"{hashlib.sha256(self.uri.encode()).hexdigest()[:32]}.git"
        return Mirror(directory, self.uri if self._path is None else str(self._path))

    def _fetched(self, branch: str | None) -> tuple[Repository, str]:
        name = branch or _remote_branch(self.uri if self._path is None else str(self._path))
        repository = self._mirror().fetch(name)
        return repository, _tip(repository, name)


def _local_path(uri: str) -> Path | None:
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    path = Path(uri).expanduser()
    return None if _REMOTE.match(uri) and not path.exists() else path.absolute()


def _tip(repository: Repository, branch: str | None) -> str:
    if branch is not None:
        found = repository.find("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
    else:
        found = repository.find("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if found:
        return found
    names = repository.ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").decode().split()
    if branch is None and len(names) == 1:  # a clone of a bundle may have a HEAD that names no branch
        return _tip(repository, names[0])
    if branch in names:
        raise SourceUnavailable(
            f"git cannot read the newest commit of branch {branch!r} in {repository.directory}"
        )
    missing = f"there is no branch {branch!r}" if branch else "HEAD names no branch"
    there_are = f"there are {', '.join(names[:20])}; set --option branch=…" if names else "it has no branches"
    raise SourceUnavailable(f"{missing} in {repository.directory}: {there_are}")


def _remote_branch(address: str) -> str:
    """The branch that the remote's HEAD names, or its only one."""
    lines = ask("ls-remote", "--symref", "--", address, "HEAD", "refs/heads/*", timeout=FETCH_SECONDS)
    names = []
    for line in lines.decode(errors="replace").splitlines():
        target, _, reference = line.partition("\t")
        if target.startswith("ref: refs/heads/") and reference == "HEAD":
            return target.removeprefix("ref: refs/heads/")
        if reference.startswith("refs/heads/"):
            names.append(reference.removeprefix("refs/heads/"))
    if len(names) == 1:
        return names[0]
    raise SourceUnavailable(
        f"the repository's HEAD names no branch; it has {', '.join(names[:20]) or 'none'}: "
        "set --option branch=…"
    )
