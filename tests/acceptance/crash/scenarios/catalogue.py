"""All scenarios, by name."""

from __future__ import annotations

from tests.acceptance.crash.scenarios.alarms import (
    alerted,
    ask_the_day,
    day_s_outcome,
    deliver,
    delivered,
    failing_canaries,
    stepped_back_once,
)
from tests.acceptance.crash.scenarios.backup import backed_up, is_backed_up, is_put_back, put_back, take
from tests.acceptance.crash.scenarios.build import (
    asked_in_vain,
    begun,
    changed,
    cut_off,
    rejected,
    rejected_then_mended,
    retaining_one,
    run,
    run_slowly,
    run_to_the_end,
    two_generations,
)
from tests.acceptance.crash.scenarios.capture import reading_folder, reading_git, reading_sqlite
from tests.acceptance.crash.scenarios.decisions import (
    add_wiki,
    add_wiki_and_run,
    confirm,
    is_rolled_back,
    letter_retried,
    losing_half,
    reject,
    remove_source,
    resume,
    roll_back,
    rolled_back,
    source_removed,
    wiki_written,
)
from tests.acceptance.crash.scenarios.erasure import erase, erased, two_tenants
from tests.acceptance.crash.scenarios.git_mirror import (
    damaged_mirror,
    look_and_run,
    look_and_run_to_the_end,
    stale_mirror,
)
from tests.acceptance.crash.scenarios.pages import texts_of_source
from tests.acceptance.crash.scenarios.scenario import Scenario
from tests.acceptance.crash.scenarios.slot import (
    drifted,
    mended_and_run_to_the_end,
    slot_dropped,
    slotted,
    with_slot,
)
from tests.acceptance.crash.scenarios.upkeep import (
    damaged,
    empty,
    initialise,
    initialised,
    opens_as_recorded,
    repair,
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first-build", begun, run, run_to_the_end, builds=True),
        Scenario("difference-build", changed, run, run_to_the_end, builds=True),
        Scenario("rejected-candidate", asked_in_vain, run, rejected_then_mended, builds=True),
        Scenario("slow-build", changed, run_slowly, run_to_the_end, builds=True),
        Scenario("cut-off-build", cut_off, run, run_to_the_end),
        Scenario("letter-retried", letter_retried, run, run_to_the_end),
        Scenario("judged-again", rejected, run, run_to_the_end, builds=True),
        Scenario("publish-and-retention", retaining_one, run, run_to_the_end, builds=True),
        Scenario("capture-folder", reading_folder, run, run_to_the_end, texts_of_source),
        Scenario("capture-git", reading_git, run, run_to_the_end, texts_of_source),
        Scenario("capture-sqlite", reading_sqlite, run, run_to_the_end, texts_of_source),
        Scenario("capture-mirror", stale_mirror, run, run_to_the_end, texts_of_source),
        Scenario(
            "capture-damaged-mirror", damaged_mirror, look_and_run, look_and_run_to_the_end, texts_of_source
        ),
        Scenario("capture-slot", slotted, run, run_to_the_end, with_slot),
        Scenario("capture-slot-dropped", slot_dropped, run, run_to_the_end, with_slot),
        Scenario("capture-drift", drifted, run, mended_and_run_to_the_end, with_slot),
        Scenario("source-add", wiki_written, add_wiki, add_wiki_and_run),
        Scenario("source-remove", slotted, remove_source, outcome=source_removed),
        Scenario("rollback", two_generations, roll_back, check=is_rolled_back),
        Scenario("resume", rolled_back, resume, check=run_to_the_end),
        Scenario("confirm", losing_half, confirm, check=run_to_the_end, builds=True),
        Scenario("reject", losing_half, reject, check=run_to_the_end),
        Scenario("erase", two_tenants, erase, outcome=erased),
        Scenario("migrate", empty, initialise, outcome=initialised),
        Scenario("daily-canaries", failing_canaries, ask_the_day, None, day_s_outcome, stepped_back_once),
        Scenario("alerts", alerted, deliver, outcome=delivered),
        Scenario("rebuild", damaged, repair, check=opens_as_recorded),
        Scenario("backup", two_generations, take, outcome=is_backed_up),
        Scenario("restore", backed_up, put_back, outcome=is_put_back),
    )
}
