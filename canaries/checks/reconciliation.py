"""`index_reconciles`: the index holds exactly the points that the registry says, by digest."""

from __future__ import annotations

from canaries.checks.candidate import CandidateUnderTest
from registry.verdicts import Verdict
from retrieval.expected import expected_points

NAME = "index_reconciles"
SHOWN = 5


def check(under_test: CandidateUnderTest) -> Verdict:
    """Compare every point with what it should be: missing, unexpected, different."""
    with under_test.registry.read() as session:
        expected = {p.chunk_id: p.digest() for p in expected_points(session, under_test.candidate)}
    unexpected: list[str] = []
    different: list[str] = []
    with under_test.open() as reader:
        for point in reader.points():
            wanted = expected.pop(point.chunk_id, None)
            if wanted is None:
                unexpected.append(point.chunk_id)
            elif wanted != point.digest():
                different.append(point.chunk_id)
        points = reader.count()
    return _verdict(under_test, points, sorted(expected), unexpected, different)


def _verdict(
    under_test: CandidateUnderTest,
    points: int,
    missing: list[str],
    unexpected: list[str],
    different: list[str],
) -> Verdict:
    announced = under_test.candidate.chunks
    passed = not (missing or unexpected or different) and points == announced
    faults = f"{len(missing)} missing, {len(unexpected)} unexpected, {len(different)} different"
    return Verdict(
        NAME,
        passed,
        f"all {points} points are as they should be" if passed else f"of {announced} points: {faults}",
        details={
            "points": points,
            "missing": len(missing),
            "unexpected": len(unexpected),
            "different": len(different),
            "examples": (missing + unexpected + different)[:SHOWN],
        },
    )
