"""`embedding_model_matches`: the vectors are of the model that the generation, and the query, will use."""

from __future__ import annotations

import hashlib
import heapq

import numpy as np

from canaries.checks.candidate import CandidateUnderTest
from registry.verdicts import Verdict
from retrieval.encoder.identity import ModelIdentity
from retrieval.index.point import IndexPoint

NAME = "embedding_model_matches"
SAMPLE = 16
# Encoding in another batch moves a cosine by about 1e-6; another model, or another precision, by far more.
LEAST_COSINE = 0.999


def check(under_test: CandidateUnderTest) -> Verdict:
    """The stamp, the registry and the model on disk agree, and a sample encodes to the stored vectors."""
    candidate, model = under_test.candidate, under_test.model
    with under_test.open() as reader:
        stamped = reader.spec.model
        sample = heapq.nsmallest(SAMPLE, reader.points(), key=_order)
    if len({stamped, candidate.model_id, model.id}) != 1:
        return Verdict(
            NAME,
            False,
            f"the index is stamped {stamped}, "
            f"the registry says {candidate.model_id}, the encoder is {model.id}",
            details={"stamped": stamped, "registered": candidate.model_id, "encoder": model.id},
        )
    return _compare(under_test, sample, model)


def _order(point: IndexPoint) -> str:
    return hashlib.sha256(point.chunk_id.encode()).hexdigest()


def _compare(under_test: CandidateUnderTest, sample: list[IndexPoint], model: ModelIdentity) -> Verdict:
    if not sample:
        return Verdict(NAME, True, "the index is empty", details={"model": model.id, "sampled": 0})
    fresh = under_test.encoders.of(model.id).encode([str(point.payload["text"]) for point in sample])
    cosines = np.einsum("ij,ij->i", fresh, np.stack([point.vector for point in sample]))
    least = float(cosines.min())
    passed = least >= LEAST_COSINE
    summary = (
        f"{len(sample)} sampled chunks encode to their stored vectors (least cosine {least:.6f})"
        if passed
        else f"stored vectors are not those of {model.id}: "
        f"the least cosine of {len(sample)} chunks is {least:.4f}"
    )
    return Verdict(
        NAME, passed, summary, details={"model": model.id, "sampled": len(sample), "least_cosine": least}
    )
