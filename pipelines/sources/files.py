"""Which files are documents, under which keys, and how a file's bytes become changes."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipelines.sources.source import Unreadable, Upsert
from pipelines.sources.storable import key_flaw, stand_in

SIZE_LIMIT = 64 * 2**20
MEDIA_TYPES = {
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".rst": "text/x-rst",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_JSONL = ".jsonl"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def is_jsonl(path: str) -> bool:
    """Whether the file holds a document a line."""
    return PurePosixPath(path).suffix.lower() == _JSONL


def is_document(path: str) -> bool:
    """Whether a file with this name is read, judged by its suffix in either case."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix in MEDIA_TYPES or suffix == _JSONL


def is_hidden(path: str) -> bool:
    """Whether some part of this relative path begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def file_key(path: str) -> tuple[str, str | None]:
    """The key of the file at this relative path, and why it cannot be read under that path if so.

    A path that is not UTF-8 (surrogate-escaped here), overlong, or that would be taken for a line of a
    .jsonl file gets a key that stands in for it.
    """
    flaw = key_flaw(path)
    if flaw is None and f"{_JSONL}#" in path.lower():
        flaw = f"holds '{_JSONL}#', which marks the lines of a {_JSONL} file"
    return (path, None) if flaw is None else (stand_in(path), f"the path {flaw}")


def size_flaw(path: str, size: int) -> str | None:
    """Why a file of `size` bytes is not read, None where it is. Lines of .jsonl are read one at a time."""
    if size <= SIZE_LIMIT or is_jsonl(path):
        return None
    return f"the file has {size} bytes; the limit is {SIZE_LIMIT}"


def document(path: str, uri: str, content: bytes) -> Upsert | Unreadable:
    """The one document of a file that is not .jsonl. The parser finds its title."""
    if len(content) < 1024 and content.startswith(_LFS_POINTER):
        return Unreadable(path, "the file is a Git LFS pointer; its content is stored elsewhere")
    return Upsert(path, "", uri, content, MEDIA_TYPES[PurePosixPath(path).suffix.lower()])
