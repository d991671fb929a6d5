"""A generation of the embedded index while it is built, and the steps that seal it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from registry.crash_points import crash_point
from retrieval.errors import DimensionMismatch, GenerationExists, IndexCorrupt
from retrieval.index.edge import shard as engine
from retrieval.index.edge.files import allocated_bytes, digest_tree, remove_tree, sync, sync_tree
from retrieval.index.edge.layout import POSTINGS, SHARD, UNDIGESTED
from retrieval.index.edge.lock import GenerationLock
from retrieval.index.edge.room import disk_errors, estimate, require
from retrieval.index.edge.search import OpenShard
from retrieval.index.manifest import Manifest
from retrieval.index.point import IndexPoint
from retrieval.index.postings import Postings
from retrieval.index.store import GenerationRef, IndexSpec, SealedGeneration

_BATCH = 500


class EdgeStage:
    """Owns `directory` and its lock until it is sealed or left."""

    def __init__(
        self,
        ref: GenerationRef,
        spec: IndexSpec,
        directory: Path,
        lock: GenerationLock,
        shard: edge.EdgeShard,
        target: Path,
        token: str,
        displaced: Path | None = None,
    ) -> None:
        self.ref = ref
        self.spec = spec
        self.token = token
        self._directory = directory
        self._lock = lock
        self._open: edge.EdgeShard | None = shard
        self._target = target
        self._displaced = displaced

    def digests(self) -> dict[str, str]:
        return {point.chunk_id: point.digest() for point in engine.stored_points(self._shard)}

    def upsert(self, points: Iterable[IndexPoint]) -> int:
        total = 0
        remaining = iter(points)
        while batch := list(islice(remaining, _BATCH)):
            for point in batch:
                if len(point.vector) != self.spec.dimension:
                    subject = f"chunk {point.chunk_id} of {self.ref}"
                    raise DimensionMismatch(subject, self.spec.dimension, len(point.vector))
            shard = self._shard
            require(self._directory, estimate(batch), self.ref)
            with disk_errors(self.ref):
                engine.upsert(shard, batch)
            crash_point("stage:upserted")
            total += len(batch)
        return total

    def delete(self, chunk_ids: Iterable[str]) -> int:
        given = list(chunk_ids)
        if given:
            engine.delete(self._shard, given)
            crash_point("stage:deleted")
        return len(given)

    def seal(self, expected: str | None = None) -> SealedGeneration:
        shard = self._shard
        # Vacuuming writes what is kept once more before the old segments go.
        require(self._directory, allocated_bytes(self._directory), self.ref)
        with disk_errors(self.ref):
            return self._seal(shard, expected)

    def _seal(self, shard: edge.EdgeShard, expected: str | None) -> SealedGeneration:
        engine.index_names(shard)
        engine.vacuum(shard)
        crash_point("seal:vacuumed")
        shard.flush()
        self._close_shard()
        crash_point("seal:flushed")
        sealed = self._read_back()
        if expected is not None and sealed.digest != expected:
            raise IndexCorrupt(
                f"{self.ref} was built again as {sealed.digest[:12]}, but it was recorded as {expected[:12]}: "
                "what the registry stores of it is no longer what it was built from; ingest again"
            )
        self._write_manifest(sealed)
        crash_point("seal:manifest-written")
        sync_tree(self._directory)
        crash_point("seal:synced")
        self._move_into_place()
        self._lock.release()
        return sealed

    def __enter__(self) -> EdgeStage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_shard()
        if self._directory.exists():  # sealing renames it
            remove_tree(self._directory)
        self._lock.release()

    @property
    def _shard(self) -> edge.EdgeShard:
        if self._open is None:
            raise ValueError(f"{self.ref} is sealed or abandoned: nothing more can be staged")
        return self._open

    def _close_shard(self) -> None:
        shard, self._open = self._open, None
        if shard is not None:
            shard.close()

    def _read_back(self) -> SealedGeneration:
        """Open what lies on disk as a reader would, digest every point and write the postings, in one pass."""
        shard = engine.load(self._directory / SHARD, self.spec.dimension, self.ref)
        try:
            digest = hashlib.sha256()

            def entries() -> Iterator[tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.float32]]]:
                for point in engine.stored_points(shard):
                    digest.update(f"{point.chunk_id} {point.digest()}\n".encode())
                    yield point.chunk_id, point.term_ids(), point.term_weights()

            postings = Postings.of(entries())
            OpenShard(shard, postings).check_statistics(self.ref)
            postings.write(self._directory / POSTINGS)
        finally:
            shard.close()
        return SealedGeneration(digest.hexdigest(), len(postings.chunk_ids))

    def _write_manifest(self, sealed: SealedGeneration) -> None:
        files = digest_tree(self._directory, UNDIGESTED)
        Manifest(self.ref, self.spec, sealed.digest, sealed.points, files).write(self._directory)

    def _move_into_place(self) -> None:
        if self._displaced is not None and self._target.exists():
            os.rename(self._target, self._displaced)
            crash_point("seal:displaced")
        # A rename replaces an empty directory but no other, so that nothing sealed can be overwritten.
        try:
            os.rename(self._directory, self._target)
        except OSError as error:
            if self._target.exists():
                raise GenerationExists(
                    f"{self.ref} was sealed before: a number is never used again"
                ) from error
            raise
        crash_point("seal:renamed")
        sync(self._target.parent)
        sync(self._target.parent.parent)
