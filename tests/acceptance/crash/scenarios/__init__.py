"""What is killed: each scenario prepares a home, does one thing in it, and does it again after the kill.

Here is what tests need of them; `catalogue` has them all, every other file is one idea of what may be under way.
"""

from tests.acceptance.crash.scenarios.build import (
    begun,
    changed,
    commit,
    published,
    questions,
    run,
    run_to_the_end,
)
from tests.acceptance.crash.scenarios.capture import OBSERVED, reading_git, reading_sqlite
from tests.acceptance.crash.scenarios.catalogue import SCENARIOS
from tests.acceptance.crash.scenarios.git_mirror import handbook, mirror, mirrored, stale_mirror
from tests.acceptance.crash.scenarios.pages import page, texts_of_source
from tests.acceptance.crash.scenarios.playing import Ended, Undisturbed, after, kill_at, passed_and_after
from tests.acceptance.crash.scenarios.scenario import UPON, Act, Scenario, ending

__all__ = [
    "OBSERVED",
    "SCENARIOS",
    "UPON",
    "Act",
    "Ended",
    "Scenario",
    "Undisturbed",
    "after",
    "begun",
    "changed",
    "commit",
    "ending",
    "handbook",
    "kill_at",
    "mirror",
    "mirrored",
    "page",
    "passed_and_after",
    "published",
    "questions",
    "reading_git",
    "reading_sqlite",
    "run",
    "run_to_the_end",
    "stale_mirror",
    "texts_of_source",
]
