"""Values on their way: kept and given back, copied, told apart, made JSON, put in order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SourceError
from pipelines.sources.postgres.column_values import content, json_value, text
from pipelines.sources.postgres.copied_rows import _lines, parsed
from pipelines.sources.postgres.joining import link, order
from pipelines.sources.postgres.lsn import lsn_of, lsn_text
from pipelines.sources.postgres.packed_values import digest, pack, unpack

ROW = st.lists(st.one_of(st.none(), st.binary(max_size=400)), max_size=6)
LSN = st.integers(0, 2**64 - 1)
ESCAPES = {9: b"\\t", 10: b"\\n", 13: b"\\r", 8: b"\\b", 12: b"\\f", 11: b"\\v", 92: b"\\\\"}


@given(ROW)
def test_what_is_packed_comes_back(values):
    assert unpack(pack(values)) == tuple(values)


@given(ROW, ROW)
def test_a_digest_stands_for_its_values(one, other):
    assert (digest(one) == digest(other)) == (one == other)
    assert len(digest(one)) == 32


def test_digests_do_not_run_values_together():
    rows = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", None], [b"abc", b""], [None, b"abc"]]
    assert len({digest(row) for row in rows}) == len(rows)


def test_large_values_are_kept_small():
    assert len(pack([b"word " * 10_000])) < 1000


@given(st.lists(st.one_of(st.none(), st.binary(max_size=30)), min_size=1, max_size=5))
def test_a_copied_line_is_read_as_it_was_meant(values):
    fields = [
        b"\\N" if v is None else b"".join(ESCAPES.get(byte, bytes([byte])) for byte in v) for v in values
    ]
    assert parsed(b"\t".join(fields)) == tuple(values)


@given(st.lists(st.binary(max_size=9).map(lambda raw: raw.replace(b"\n", b"-")), max_size=6), st.data())
def test_lines_do_not_depend_on_how_they_were_cut(lines, data):
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(_lines(blocks)) == lines


@given(LSN, LSN)
def test_positions_sort_as_text(one, other):
    assert lsn_of(lsn_text(one)) == one
    assert (lsn_text(one) < lsn_text(other)) == (one < other)


@pytest.mark.parametrize("wrong", ["", "0", "0/", "/0", "g/0", "0/0/0", "1/123456789", "-1/0", " 0/0", "12"])
def test_what_is_no_position_is_refused(wrong):
    with pytest.raises(SourceError, match="not a position"):
        lsn_of(wrong)


def test_postgresql_s_own_notation_is_read():
    assert lsn_of("16/B374D848") == 0x16B374D848


@pytest.mark.parametrize(
    ("raw", "oid", "meant"),
    [
        (b"7", 23, 7), (b"t", 16, True), (b"f", 16, False), (b"1.50", 1700, 1.5), (b"20", 1700, 20),
        (b"NaN", 1700, "NaN"), (b"0.25", 701, 0.25), (b"Infinity", 701, "inf"), (b'{"a": [1]}', 3802, {"a": [1]}),
        (b"{1,NULL}", 1007, [1, None]), (b'{a,"b c"}', 1009, ["a", "b c"]), (b"plain", 25, "plain"),
        (b"2026-01-01", 1082, "2026-01-01"), (None, 23, None), (b"not json", 114, "not json"),
        (b"\xff", 25, "\udcff"), (b"{1.5,2}", 1231, [1.5, 2]), (b'{"{\\"a\\": 1}",NULL}', 3807, [{"a": 1}, None]),
        (b"9" * 4300, 1700, 10**4300 - 1), (b"9" * 4301, 1700, "9" * 4301),
        (b"{1" + b"0" * 4300 + b"}", 1231, "{1" + "0" * 4300 + "}"),
        (b"1" + b"0" * 4300 + b".5", 1700, "1" + "0" * 4300 + ".5"), (b"[0:1]={1,2}", 1007, [1, 2]),
    ],
)  # fmt: skip
def test_metadata_is_json(raw, oid, meant):
    found = json_value(raw, oid)
    assert found == meant
    assert type(found) is type(meant)


def test_content_is_bytes():
    assert content(b"\\x00ff", 17) == b"\x00\xff"
    assert content(b"\\x00ff", 25) == b"\\x00ff"
    assert content(None, 25) == b""
    assert text(None) == ""


def test_order_is_the_column_s():
    numbers = [b"10", b"9", b"-3", b"2.5", b"NaN", None, b"1e3"]
    assert sorted(numbers, key=lambda raw: order(raw, 1700)) == [
        b"-3",
        b"2.5",
        b"9",
        b"10",
        b"1e3",
        b"NaN",
        None,
    ]
    assert sorted([b"b", b"10", b"9", None], key=lambda raw: order(raw, 25)) == [b"10", b"9", b"b", None]
    assert order(b"10", 23)[1] == Decimal(10)
    assert order(b"10", 26) > order(b"9", 26)


def test_links_are_equal_where_the_values_are():
    assert link(b"7", 23) == link(b"7", 20) == link(b"7.00", 1700) == link(b"7", 25)
    assert link(b"70", 23) != link(b"7", 23)
    assert link(b"7.0", 25) != link(b"7", 25), "text is text"
    assert link(b"0.10", 1700) == link(b"0.1", 1700) != link(b"0.01", 1700)
    assert link(None, 23) == "" != link(b"", 25)
