"""How the journal's files are opened, and let go of."""

from __future__ import annotations

from pathlib import Path

from gateway.journal import sqlite


def test_a_file_is_let_go_of_although_a_statement_is_still_held(tmp_path: Path) -> None:
    """As the traceback of an error holds it."""
    path = tmp_path / "file.db"
    engine = sqlite.own(path)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1), (2)")
    driver = engine.raw_connection().driver_connection
    assert driver is not None
    held = driver.cursor()
    held.execute("SELECT a FROM t")
    assert held.fetchone() == (1,)
    engine.dispose()
    again = sqlite.own(path)
    with again.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 2
    again.dispose()
    del held
