"""The embedded index: generations as directories of Qdrant Edge shards below one root."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import qdrant_edge as edge

from registry.crash_points import crash_point
from retrieval.errors import GenerationExists, IndexCorrupt, IndexUnavailable, ModelMismatch
from retrieval.index.edge import shard as engine
from retrieval.index.edge.files import allocated_bytes, copy_tree, digest_tree, remove_tree
from retrieval.index.edge.layout import LOCK, POSTINGS, SHARD, UNDIGESTED, Layout
from retrieval.index.edge.lock import GenerationLock
from retrieval.index.edge.open_shards import OpenShards
from retrieval.index.edge.reader import EdgeReader
from retrieval.index.edge.room import disk_errors, require
from retrieval.index.edge.search import OpenShard
from retrieval.index.edge.stage import EdgeStage
from retrieval.index.manifest import FILE_NAME, Manifest, read_manifest
from retrieval.index.postings import Postings
from retrieval.index.store import GenerationRef, IndexSpec

_Seal: TypeAlias = tuple[int, int, int]


class EdgeGenerationStore:
    """A GenerationStore for one host. Processes may share a root; one at a time builds for a tenant."""

    def __init__(self, root: Path, open_shards: int = 64) -> None:
        self._layout = Layout(root)
        self._shards: OpenShards[GenerationRef, OpenShard] = OpenShards(open_shards)
        self._verified: dict[GenerationRef, tuple[_Seal, Manifest]] = {}
        self._verifying = threading.Lock()

    def stage(
        self, ref: GenerationRef, spec: IndexSpec, base: GenerationRef | None = None, *, replace: bool = False
    ) -> EdgeStage:
        target = self._layout.generation(ref)
        if target.exists() and not replace:
            raise GenerationExists(f"{ref} was sealed before: a number is never used again")
        token = secrets.token_hex(8)
        directory = self._layout.stage(ref.tenant, token)
        directory.mkdir(parents=True)
        lock = GenerationLock.create(directory)
        try:
            with disk_errors(ref):
                shard = self._first_shard(directory / SHARD, ref, spec, base)
        except BaseException:
            remove_tree(directory)
            lock.release()
            raise
        crash_point("stage:begun")
        displaced = self._layout.removed(ref.tenant) if replace else None
        return EdgeStage(ref, spec, directory, lock, shard, target, token, displaced)

    def open(self, ref: GenerationRef, model: str | None = None) -> EdgeReader:
        lock = GenerationLock.share(self._layout.generation(ref), ref)
        try:
            with self._unless_gone(ref, lock):
                manifest = self._verified_manifest(ref)
            _check_model(manifest, model)
            with self._use(manifest, lock):  # open it now: a shard that cannot open must fail here
                return EdgeReader(manifest, lock, lambda: self._use(manifest, lock))
        except BaseException:
            lock.release()
            raise

    def remove(self, ref: GenerationRef) -> bool:
        directory = self._layout.generation(ref)
        if not directory.exists():
            return True
        lock = GenerationLock.try_exclusive(directory)
        if lock is None:
            return not directory.exists()
        try:
            removed = self._moved_out(ref)
        finally:
            lock.release()
        crash_point("remove:renamed")
        self._remove_moved(ref, removed)
        return True

    def erase(self, tenant: str) -> int:
        held = [ref for ref in self._refs(tenant) if not self.remove(ref)]
        for ref in held:
            self._remove_moved(ref, self._moved_out(ref))
        self.discard_stages(tenant)
        remove_tree(self._layout.tenant(tenant))  # a build that is going on discards its stage
        return len(held)

    def generations(self, tenant: str) -> list[int]:
        return self._layout.numbers(tenant)

    def size_bytes(self, ref: GenerationRef) -> int:
        directory = self._layout.generation(ref)
        if not directory.exists():
            raise IndexUnavailable(f"{ref} is not on disk: it was never sealed here, or it was removed")
        return allocated_bytes(directory)

    def discard_stages(self, tenant: str, except_token: str | None = None) -> int:
        kept = None if except_token is None else self._layout.stage(tenant, except_token)
        return sum(_discard(path) for path in self._layout.leftovers(tenant) if path != kept)

    def close(self) -> None:
        self._shards.close()

    def _first_shard(
        self, directory: Path, ref: GenerationRef, spec: IndexSpec, base: GenerationRef | None
    ) -> edge.EdgeShard:
        if base is None:
            return engine.create(directory, spec.dimension)
        with self.open(base) as reader:
            if (reader.spec.model, reader.spec.dimension) != (spec.model, spec.dimension):
                raise ModelMismatch(f"{base}, the base of {ref},", reader.spec.model, spec.model)
            require(directory.parent, allocated_bytes(self._layout.generation(base)), ref)
            copy_tree(self._layout.generation(base) / SHARD, directory)
        crash_point("stage:copied")
        return engine.load(directory, spec.dimension, ref)

    def _verified_manifest(self, ref: GenerationRef) -> Manifest:
        """The manifest; the first time in this process, after every file was compared with it.

        A generation that was rebuilt meanwhile is another directory: it is compared and opened anew.
        """
        directory = self._layout.generation(ref)
        seal = _seal_of(directory)
        known = self._verified.get(ref)
        if known is not None and known[0] == seal:
            return known[1]
        with self._verifying:
            known = self._verified.get(ref)
            if known is not None and known[0] == seal:
                return known[1]
            self._shards.discard(ref)
            manifest = read_manifest(directory, ref)
            _verify(directory, manifest)
            self._verified[ref] = (seal, manifest)
            return manifest

    def _forget_removed(self) -> None:
        """Close shards that another process removed, which hold their disk space until then."""
        for ref in self._shards.open_keys():
            if not self._layout.generation(ref).exists():
                self._shards.discard(ref)
                self._verified.pop(ref, None)

    def _use(self, manifest: Manifest, lock: GenerationLock) -> AbstractContextManager[OpenShard]:
        return self._shards.use(manifest.ref, lambda: self._open_shard(manifest, lock))

    def _open_shard(self, manifest: Manifest, lock: GenerationLock) -> OpenShard:
        self._forget_removed()
        directory = self._layout.generation(manifest.ref)
        with self._unless_gone(manifest.ref, lock):
            postings = Postings.read(directory / POSTINGS)
            return OpenShard(engine.load(directory / SHARD, manifest.spec.dimension, manifest.ref), postings)

    @contextmanager
    def _unless_gone(self, ref: GenerationRef, lock: GenerationLock) -> Iterator[None]:
        """Who reads holds off a removal, but neither an erasure nor a rebuild: what fails then was not corrupt."""
        try:
            yield
        except Exception as error:
            if lock.is_of(self._layout.generation(ref)):
                raise
            raise IndexUnavailable(f"{ref} was removed or built again while it was opened") from error

    def _moved_out(self, ref: GenerationRef) -> Path:
        """Take a generation out of its place: at once nothing of it can be opened any more."""
        removed = self._layout.removed(ref.tenant)
        with suppress(FileNotFoundError):  # another one was faster
            self._layout.generation(ref).rename(removed)
        return removed

    def _remove_moved(self, ref: GenerationRef, removed: Path) -> None:
        self._shards.discard(ref)
        self._verified.pop(ref, None)
        remove_tree(removed)

    def _refs(self, tenant: str) -> list[GenerationRef]:
        return [GenerationRef(tenant, number) for number in self.generations(tenant)]


def _seal_of(directory: Path) -> _Seal:
    """What tells one sealing of a generation from another; nothing where there is no manifest."""
    try:
        found = (directory / FILE_NAME).stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


def _check_model(manifest: Manifest, model: str | None) -> None:
    if model is not None and model != manifest.spec.model:
        raise ModelMismatch(str(manifest.ref), built_with=manifest.spec.model, asked_for=model)


def _verify(directory: Path, manifest: Manifest) -> None:
    found = digest_tree(directory, UNDIGESTED)
    wrong = sorted(name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name))
    if wrong:
        raise IndexCorrupt(
            f"{manifest.ref}: {len(wrong)} of its files do not match the manifest, first {wrong[0]}: "
            f"`holdfast rebuild --tenant {manifest.ref.tenant}` makes it again from what is stored, or roll back "
            "to a retained generation"
        )


def _discard(leftover: Path) -> bool:
    """Remove a leftover unless a living process holds its lock."""
    lock = GenerationLock.try_exclusive(leftover)
    if lock is None and (leftover / LOCK).exists():
        return False
    try:
        remove_tree(leftover)
    finally:
        if lock is not None:
            lock.release()
    return True
