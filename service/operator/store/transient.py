"""Which errors of a database pass by themselves, so that the same work may succeed a moment later."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

_SQLITE_CODES = frozenset({5, 6})
"""SQLITE_BUSY and SQLITE_LOCKED, without their extensions."""
_SQLITE_TEXTS = ("database is locked", "database table is locked", "database schema is locked")
_STATES = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "25P03", "57P05"})
"""Serialisation, deadlock, lock timeout, server stopping or starting, too many connections, sessions that idled."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error is of a database that is locked or restarts, or of a connection that was lost.

    A full disk is none: it does not pass within the seconds that anybody waits here.
    """
    if not isinstance(error, DBAPIError):
        return False
    original = error.orig
    if isinstance(original, sqlite3.Error):
        # The codes came with CPython 3.11.
        code = getattr(original, "sqlite_errorcode", None)
        if code is not None:
            return int(code) & 0xFF in _SQLITE_CODES
        return isinstance(original, sqlite3.OperationalError) and str(original) in _SQLITE_TEXTS
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return state in _STATES or str(state).startswith("08")
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
