"""`canary_coverage`: the canaries still ask for documents that are there."""

from __future__ import annotations

from canaries.asking import known_documents
from canaries.checks.candidate import CandidateUnderTest
from canaries.naming import absent_canaries
from registry.verdicts import Verdict

NAME = "canary_coverage"
SHOWN = 10


def check(under_test: CandidateUnderTest) -> Verdict:
    """A canary whose documents were deleted is excused; one whose documents just are not there is not."""
    questions = under_test.questions
    if not questions:
        text = "unguarded: there are no canaries; `holdfast canary import` gives known answers"
        return Verdict(NAME, False, text, blocking=False, details={"status": "unguarded", "canaries": 0})
    candidate = under_test.candidate
    with under_test.registry.read() as session:
        known = known_documents(session, candidate.tenant_id, candidate.number)
    excused = [q for q in questions if not known.of(q)]
    absent = [q for q in questions if known.of(q) and not known.is_covered(q)]
    counted = len(questions) - len(excused)
    covered = (counted - len(absent)) / counted if counted else 1.0
    details = {
        "canaries": len(questions),
        "excused": len(excused),
        "absent": len(absent),
        "covered": covered,
        "examples": [question.id for question in absent[:SHOWN]],
        "red_canaries": absent_canaries(absent),
    }
    if not counted:
        text = f"unguarded: the documents of all {len(questions)} canaries are deleted"
        return Verdict(NAME, False, text, blocking=False, details={**details, "status": "unguarded"})
    floor = under_test.contract.canary_coverage
    text = f"{counted - len(absent)} of {counted} canaries have their documents, {len(excused)} are excused"
    return Verdict(NAME, covered >= floor, f"{text} (at least {floor:.0%} needed)", details=details)
