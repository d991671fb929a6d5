import pytest

from pipelines.errors import SourceError
from pipelines.sources.kinds import KINDS, open_source, settled_options
from pipelines.sources.options import OPTIONS, GitOptions, SqliteOptions, parse_options
from tests.support.captured import utc_now

TABLE = {"table": "t", "key": "id", "body": "text"}


def test_every_kind_has_options():
    assert OPTIONS.keys() == KINDS.keys()


@pytest.mark.parametrize(
    ("kind", "options", "quiescence"),
    [("folder", {}, 1), ("git", {}, 0), ("sqlite", TABLE, 1), ("postgres", TABLE, 1)],
)
def test_defaults(kind, options, quiescence):
    parsed = parse_options(kind, options)
    assert parsed.quiescence == quiescence
    assert parsed.max_staleness == 300


def test_strings_become_what_they_mean():
    parsed = parse_options(
        "sqlite", {**TABLE, "metadata": "a, b ,c", "install": "no", "sweep_interval": "0.5"}
    )
    assert isinstance(parsed, SqliteOptions)
    assert parsed.metadata == ("a", "b", "c")
    assert parsed.install is False
    assert parsed.sweep_interval == 0.5


def test_a_path_is_made_plain():
    parsed = parse_options("git", {"path": "docs//api/"})
    assert isinstance(parsed, GitOptions)
    assert parsed.path == "docs/api"


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("folder", {"branch": "x"}, r"no option 'branch'; allowed are max_staleness, quiescence"),
        ("folder", {"quiescence": "-1"}, "option 'quiescence'.*greater than or equal to 0"),
        ("folder", {"quiescence": "nan"}, "option 'quiescence'"),
        ("folder", {"max_staleness": "soon"}, "option 'max_staleness'.*number"),
        ("git", {"path": "../x"}, r"option 'path': must be a path inside the repository"),
        ("git", {"path": "/x"}, "option 'path'"),
        ("git", {"branch": "--upload-pack=x"}, "option 'branch': must be the name of a branch"),
        ("sqlite", {}, "'table' is required.*'key' is required.*'body' is required"),
        ("sqlite", {**TABLE, "format": "pdf"}, "option 'format'.*markdown.*html.*rst.*plain"),
        ("sqlite", {**TABLE, "install": "perhaps"}, "option 'install'.*boolean"),
        ("postgres", {}, "'table' is required.*'key' is required"),
        ("postgres", {"table": "t", "key": "id"}, "body is required where there is no child_table"),
        ("postgres", {**TABLE, "slot": "No-Slot"}, "option 'slot'"),
        ("postgres", {**TABLE, "child_order": "n"}, "child_order means nothing without child_table"),
        (
            "postgres",
            {**TABLE, "child_table": "c", "child_body": "b"},
            "child_table needs child_parent, child_order",
        ),
        ("postgres", {**TABLE, "max_retained_wal_mb": "0"}, "option 'max_retained_wal_mb'.*greater than 0"),
        (
            "postgres",
            {**TABLE, "retained_wal_share": "1.5"},
            "option 'retained_wal_share'.*less than or equal to 1",
        ),
        ("ftp", {}, "no source kind 'ftp'; there are: folder, git, sqlite, postgres"),
    ],
)
def test_bad_options_are_named(kind, options, said):
    with pytest.raises(SourceError, match=said):
        parse_options(kind, options)


def test_unknown_kinds_are_refused_with_those_there_are(tmp_path):
    with pytest.raises(SourceError, match="no source kind 'mysql'; there are: folder, git, sqlite, postgres"):
        open_source("mysql", "x", {}, utc_now, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "git", "sqlite", "postgres"])
def test_opening_checks_options(kind, tmp_path):
    table = TABLE if kind in ("sqlite", "postgres") else {}
    with pytest.raises(SourceError, match="no option 'colour'"):
        open_source(kind, str(tmp_path), {**table, "colour": "red"}, utc_now, tmp_path)


def test_a_new_postgres_source_gets_a_slot_and_publication_of_its_own():
    one, other = (settled_options("postgres", "Team-Wiki", TABLE) for _ in range(2))
    assert one["slot"].startswith("holdfast_team_wiki_")
    assert one["publication"] == one["slot"] != other["slot"]
    parse_options("postgres", one)
    given = settled_options("postgres", "x", {**TABLE, "slot": "mine", "publication": "theirs"})
    assert (given["slot"], given["publication"]) == ("mine", "theirs")
    assert settled_options("sqlite", "x", TABLE) == TABLE


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        ("folder", "s3://bucket"), ("folder", ""), ("sqlite", "postgresql://x"), ("sqlite", ""),
        ("git", "--upload-pack=touch"), ("git", "ext::sh -c true"), ("git", ""),
        ("postgres", ""), ("postgres", "mysql://x"), ("postgres", "host=x dbname=y"),
    ],
)  # fmt: skip
def test_opening_checks_addresses(kind, uri, tmp_path):
    with pytest.raises(SourceError):
        open_source(kind, uri, TABLE if kind in ("sqlite", "postgres") else {}, utc_now, tmp_path)
