"""The daily canaries, what they do when they fail, and the alerts that are delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from canaries.daily import ask_today
from pipelines.alerts.delivery import deliver_all
from tests.acceptance.crash.homes import LATER, opened
from tests.acceptance.crash.scenarios.build import asked_in_vain, commit, two_generations
from tests.acceptance.crash.scenarios.scenario import ending, upon
from tests.support.world import TOPICS, text_about


@upon(two_generations)
def failing_canaries(home: Path) -> None:
    """Two generations; the canaries of the live one ask for what is not there, and it is to roll back."""
    with opened(home) as world:
        world.set_contract(roll_back_on_canary_failure=True, k=1)
        world.ask_about({f"tell me of the {topic}": ["d5"] for topic in TOPICS[:4]})


def ask_the_day(home: Path) -> None:
    with opened(home, LATER) as world:
        ask_today(world.registry, world.searcher, world.tenant, world.clock)


def stepped_back_once(home: Path) -> None:
    with opened(home, LATER) as world:
        live = world.live()
        assert live is not None
        assert live.number == 1
        assert len(world.alerts("canary_failed")) <= 2


def day_s_outcome(home: Path) -> Any:
    found = dict(ending(home))
    # Asked again, the generation that was rolled back to is a new subject of the same complaint.
    found["alerts"] = sorted(found["alerts"])
    return found


@upon(asked_in_vain)
def alerted(home: Path) -> None:
    """Two alerts wait for a webhook."""
    with opened(home) as world:
        world.set_contract(alert_webhook="https://alerts.example.org/hook")
        assert world.run().status == "rejected"
        commit(world, 3, {"d0": text_about(TOPICS[0], version=4)})
        assert world.run().status == "rejected"
        assert len(world.alerts()) == 2


def deliver(home: Path) -> None:
    def take(request: httpx.Request) -> httpx.Response:
        with (home / "delivered").open("a") as file:
            file.write(json.loads(request.content)["id"] + "\n")
        return httpx.Response(200)

    with opened(home) as world, httpx.Client(transport=httpx.MockTransport(take)) as client:
        deliver_all(world.registry, world.clock, client)


def delivered(home: Path) -> Any:
    """Everything got through; twice at most what was under way."""
    with opened(home) as world:
        alerts = world.alerts()
        assert all(alert.delivered_at for alert in alerts)
        got = (home / "delivered").read_text().split()
        assert {alert.fingerprint for alert in alerts} == set(got)
        assert len(got) <= len(alerts) + 1
        return len(alerts)
