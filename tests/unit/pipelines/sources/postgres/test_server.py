"""Addresses and errors: what may be shown of them."""

from __future__ import annotations

import psycopg
import pytest

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.postgres.server import Server


@pytest.mark.parametrize("said", ["s3cr@t", "s3cr%40t"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError, SourceUnavailable),
        (psycopg.errors.ObjectInUse, SourceUnavailable),
        (psycopg.errors.InsufficientPrivilege, SourceError),
    ],
)
def test_an_error_is_told_without_the_password(said, error, expected):
    server = Server("postgresql://me:s3cr%40t@db.example:5433/app")
    with pytest.raises(expected) as caught, server.errors():
        raise error(f"could not connect with {said} just now")
    assert "with *** just now" in str(caught.value)
    assert "database app at db.example:5433" in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_without_a_password_hides_nothing():
    server = Server("postgresql://me@h1,h2/app?target_session_attrs=read-write")
    assert server.redacted("as it is") == "as it is"
    assert server.name == "PostgreSQL database app at h1,h2"


@pytest.mark.parametrize(
    "address",
    ["postgres://h/db", "postgresql://h/db", "postgresql+psycopg://h/db", "postgresql:///db?host=/tmp"],
)
def test_spellings_of_an_address(address):
    assert Server(address).name.startswith("PostgreSQL database db at ")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:s3c/ret@h/db", "postgresql://u:s3c@ret@h/db", "postgresql://u:s3cret@h/d@b",
        "postgresql://u:s3c/r?et@h/db", "postgresql://u:s3c%ret@h/db", "postgresql://u:s3c ret@h/db",
        "postgresql://u@h/db?pass%77ord=s3cret", "postgresql://u@h/db?sslpassword=s3cret",
    ],
)  # fmt: skip
def test_an_address_that_could_tell_a_part_of_a_password_is_refused(address):
    """libpq takes a piece of the first two for a host or a database, which errors name."""
    with pytest.raises(SourceError) as caught:
        Server(address)
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize("password", ["s3c?ret", "s3c#ret", "s3c:ret", "s3c%2Fr%40t"])
def test_other_characters_may_stand_in_a_password(password):
    server = Server(f"postgresql://u:{password}@h/db?options=-c%20x@y")
    assert server.name == "PostgreSQL database db at h"
    assert server.redacted(f"said {password}") == "said ***"


@pytest.mark.parametrize("address", ["", "h/db", "host=h", "mysql://h/db", "postgresql://[::1/db"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(SourceError):
        Server(address)
