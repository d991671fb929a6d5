from tests.support.logical_postgres import database, logical_server

__all__ = ["database", "logical_server"]
