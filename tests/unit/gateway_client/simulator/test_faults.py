"""How faults are written, and whom they strike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.simulator.asked import Asked
from gateway_client.simulator.faults import Fault, FaultSpec, in_prompt, parse
from gateway_client.simulator.settings import Rejection, Rule, Settings, changed
from gateway_client.simulator.traffic import Traffic, retry_headers

ASKED = Asked("openai", "chat", "m-1", prompt=10, max_tokens=20)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("html", FaultSpec(fault=Fault.HTML)),
        ("fault=cut_stream; after=3", FaultSpec(fault=Fault.CUT_STREAM, after=3)),
        ("stall;seconds=0.5;after=0", FaultSpec(fault=Fault.STALL, seconds=0.5, after=0)),
        ("status=503; retry_after=2", FaultSpec(fault=Fault.STATUS, status=503, retry_after=2.0)),
        ("invalid_json; attempts=1,3", FaultSpec(fault=Fault.INVALID_JSON, attempts=(1, 3))),
        ("breaks_schema; how=null", FaultSpec(fault=Fault.BREAKS_SCHEMA, how="null")),
    ],
)
def test_written(text: str, meant: FaultSpec) -> None:
    assert parse(text) == meant
    assert in_prompt(f"Hello. [[simulate: {text}]] Thanks.") == meant


@pytest.mark.parametrize(
    "text", ["nonsense", "html; after=x", "html; colour=red", "status=99", "html; fault=html"]
)
def test_written_wrongly(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_no_marker_is_no_fault() -> None:
    assert in_prompt("Nothing [simulate: html] here") is None


def traffic(**settings: object) -> Traffic:
    return Traffic(Settings.model_validate(settings))


def fates(found: Traffic, ids: list[str], attempts: int = 3) -> dict[tuple[str, int], bool]:
    return {(id_, n): found.refusal(ASKED, id_) is not None for n in range(1, attempts + 1) for id_ in ids}


IDS = [f"r{number}" for number in range(600)]


@given(st.permutations(range(60)), st.integers(0, 5))
def test_a_fate_by_hash_hangs_on_nothing_but_seed_request_and_attempt(order: list[int], seed: int) -> None:
    reject = {"pattern": "hash", "share": 0.5}
    found = fates(traffic(seed=seed, reject=reject), IDS[:60])
    shuffled = fates(traffic(seed=seed, reject=reject), [IDS[number] for number in order])
    alone = traffic(seed=seed, reject=reject)
    assert found == shuffled
    assert [alone.refusal(ASKED, "r7") is not None for _ in range(3)] == [found["r7", n] for n in (1, 2, 3)]


def test_shares_are_kept() -> None:
    for pattern in ("hash", "share"):
        refused = sum(fates(traffic(reject={"pattern": pattern, "share": 1 / 3}), IDS).values())
        assert 540 < refused < 660
    third = fates(traffic(reject={"pattern": "every", "n": 3}), IDS, attempts=1)
    assert [id_ for (id_, _), refused in third.items() if refused] == IDS[2::3]


def test_another_seed_is_another_fate() -> None:
    reject = {"pattern": "hash", "share": 0.5}
    assert fates(traffic(seed=1, reject=reject), IDS) != fates(traffic(seed=2, reject=reject), IDS)


def test_a_refusal_for_want_of_room_changes_no_fate() -> None:
    reject = {"pattern": "hash", "share": 0.5}
    free, full = traffic(reject=reject), traffic(reject=reject, capacity=1)
    expected = [free.refusal(ASKED, "r1") is not None for _ in range(5)]
    full.in_flight = 2
    for _ in range(3):
        refused = full.refusal(ASKED, "r1")
        assert refused is not None
        assert refused.why == "capacity"
    full.in_flight = 1
    assert [full.refusal(ASKED, "r1") is not None for _ in range(5)] == expected


def test_a_minute_s_limits() -> None:
    found = traffic(limits={"requests_per_minute": 3, "tokens_per_minute": 1000})
    found._minute = -1
    assert [found.refusal(ASKED, f"r{n}") is None for n in range(4)] == [True, True, True, False]
    assert found.limits_left() == {"requests": (3, 0), "tokens": (1000, 910)}
    by_tokens = traffic(limits={"tokens_per_minute": 75})
    assert [by_tokens.refusal(ASKED, f"r{n}") is None for n in range(3)] == [True, True, False]


def test_rules_strike_whom_they_name() -> None:
    rules = (
        Rule(fault=Fault.HTML, model="m-2"),
        Rule(fault=Fault.STALL, request="r1", attempts=(2,)),
        Rule(fault=Fault.RESET, stream=True),
        Rule(fault=Fault.EMPTY_BODY, every=2),
    )
    found = Traffic(Settings(rules=rules))

    def strike(id_: str) -> str | None:
        found.refusal(ASKED, id_)
        struck = found.fault(ASKED, id_)
        return struck.fault.value if struck else None

    assert [strike("r1"), strike("r1"), strike("r1"), strike("r2"), strike("r3")] == [
        None, "stall", "empty_body", None, "empty_body",
    ]  # fmt: skip


def test_a_share_of_a_rule_is_a_hash_too() -> None:
    found = [Traffic(Settings(rules=(Rule(fault=Fault.HTML, share=0.3),))) for _ in range(2)]
    first, second = ([t.fault(ASKED, id_) is not None for id_ in IDS] for t in found)
    assert first == second
    assert 130 < sum(first) < 230


def test_retry_after_in_every_form() -> None:
    assert retry_headers(1.5, "seconds") == [("retry-after", "1.5")]
    assert retry_headers(2, "seconds") == [("retry-after", "2")]
    assert retry_headers(0.25, "milliseconds") == [("retry-after-ms", "250")]
    assert retry_headers(5, "date")[0][1].endswith("GMT")
    assert retry_headers(None, "seconds") == []


def test_a_patch_replaces_what_it_names() -> None:
    old = Settings(seed=3, capacity=5, reject=Rejection(pattern="every", n=4))
    new = changed(old, {"reject": {"n": 7}, "capacity": None})
    assert new == Settings(seed=3, reject=Rejection(pattern="every", n=7))
    with pytest.raises(ValueError, match="capactiy"):
        changed(old, {"capactiy": 3})
