"""Faults of PostgreSQL's sessions, locks, statements, settings and privileges. Each is given a server of its own."""

import os
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import psycopg

from tests.record.postgres_tables import moved_back, repeated, set_up, wait_until
from tests.record.specimens import SPECIMENS, edited, specimen


@contextmanager
def session(server, *statements, application="", user="app"):
    """A session that has sent these statements, and stays."""
    with server.connect(user, application_name=application) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection


@contextmanager
def sessions(server, number, application):
    """As many idle sessions."""
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(session(server, "SELECT 1", application=application))
        yield


@contextmanager
def busy(server, statement, application="", user="app"):
    """A session that has sent a statement, and does not wait for its end."""
    connection = server.connect(user, application_name=application)
    connection.pgconn.send_query(statement.encode())
    try:
        yield
    finally:
        connection.cancel_safe()
        connection.close()


@contextmanager
def lock_chain(server, waiting):
    """A payment that was never committed, and those who wait for its row, each behind the other."""
    update = "UPDATE tenants SET plan = 'team' WHERE id = 1"
    with ExitStack() as stack:
        stack.enter_context(session(server, "BEGIN", update, application="billing-service"))
        for _ in range(waiting):
            stack.enter_context(busy(server, update, application="api-gateway"))
        wait_until(server, f"SELECT count(*) = {waiting} FROM pg_locks WHERE NOT granted")
        yield


# --- Connections and sessions -----------------------------------------------------------------------------------------


@specimen("connections_leave_room", sources=("pg_activity", "pg_settings"))
@contextmanager
def few_connections_left(server):
    """Sixteen of seventeen connections are taken, and nearly all idle."""
    set_up(server, max_connections=20, restart=True)
    with sessions(server, 10, "api-gateway"), sessions(server, 6, "log-processor"):
        yield


@specimen("connection_limits_leave_room", sources=("pg_connection_limits",))
@contextmanager
def role_at_its_limit(server):
    """The role may open four sessions, and has them."""
    server.execute("ALTER ROLE app CONNECTION LIMIT 4")
    with sessions(server, 4, "api-gateway"):
        yield


@specimen("no_application_takes_most_connections", sources=("pg_activity", "pg_settings"))
@contextmanager
def leaking_pool(server):
    """One application opens sessions and forgets them."""
    set_up(server, max_connections=20, restart=True)
    with sessions(server, 12, "log-processor"):
        yield


@specimen("no_session_idles_in_a_transaction", sources=("pg_activity",))
@contextmanager
def forgotten_transaction(server):
    """It is real, but seconds old: its times are moved back by 20 minutes."""
    with session(server, "BEGIN", "SELECT count(*) FROM payments", application="billing-service"):
        yield


@specimen("no_query_runs_long", sources=("pg_activity",))
@contextmanager
def endless_query(server):
    """It is real, but seconds old: its times are moved back by 20 minutes."""
    with busy(server, "SELECT count(*) FROM generate_series(1, 4000000000)", application="reports"):
        wait_until(server, "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'active' AND usename = 'app'")
        yield


for name in ("forgotten_transaction", "endless_query"):
    back = moved_back("xact_start", "query_start", "state_change", minutes=20)
    SPECIMENS[name] = replace(SPECIMENS[name], edit=back)


@specimen("no_transaction_stays_open", sources=("pg_activity",))
@contextmanager
def transaction_of_hours(server):
    """It is real, but seconds old: its begin is moved back by three hours."""
    with session(server, "BEGIN", "SELECT count(*) FROM payments", application="reports"):
        yield


SPECIMENS["transaction_of_hours"] = replace(SPECIMENS["transaction_of_hours"], edit=moved_back("xact_start", hours=3))


# --- Locks and waits --------------------------------------------------------------------------------------------------


@specimen("no_session_blocks_others", sources=("pg_blocking",))
@contextmanager
def idle_root_of_a_lock_chain(server):
    """Idle in a transaction, it holds a row that three others want, and a fourth the table."""
    with lock_chain(server, waiting=3), busy(server, "ALTER TABLE tenants ADD COLUMN region text", "migration"):
        wait_until(server, "SELECT count(*) = 4 FROM pg_locks WHERE NOT granted")
        time.sleep(1.2)
        yield


@specimen("lock_table_has_room", sources=("pg_lock_table",))
@contextmanager
def crowded_lock_table(server):
    """A migration locks sixty tables in one transaction; the table has room for 200 locks."""
    set_up(server, max_locks_per_transaction=10, max_connections=20, max_prepared_transactions=0, restart=True)
    create = "DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE 'CREATE TABLE part_' || n || ' (id int)'; END LOOP; END $$"
    with session(server, "BEGIN", create, user="postgres"):
        yield


@specimen("no_deadlock_happens", sources=("pg_databases",))
@contextmanager
def deadlocks(server):
    """Two clients change the same two rows, in opposite order."""
    set_up(server, deadlock_timeout="50ms")
    both = "UPDATE tenants SET plan = 'team' WHERE id = {0}; SELECT pg_sleep(0.1); UPDATE tenants SET plan = 'team' WHERE id = {1}"
    alone = "DO $$ BEGIN {} EXCEPTION WHEN deadlock_detected THEN NULL; END $$"
    forth, back = (alone.format(both.format(*pair).replace("SELECT", "PERFORM") + ";") for pair in ((1, 2), (2, 1)))
    with repeated(server, forth), repeated(server, back):
        yield


@specimen("no_wait_class_dominates", sources=("pg_wait_samples",))
@contextmanager
def all_sessions_wait_for_a_lock(server):
    """Four sessions wait for the lock of a fifth, and nobody does anything else."""
    with lock_chain(server, waiting=4):
        yield


# --- Statements -------------------------------------------------------------------------------------------------------


@specimen("no_statement_takes_most_of_the_time", sources=("pg_statements",))
@contextmanager
def dominant_statement(server):
    """A search without an index, again and again."""
    with repeated(server, "SELECT count(*) FROM log_entries WHERE message ~ 'handled in 9.* ms'"):
        yield


@specimen("no_statement_is_slow", sources=("pg_statements",))
@contextmanager
def slow_statement(server):
    """A statement of 11 s that ends between the two readings."""
    with busy(server, "SELECT count(*), pg_sleep(11) FROM payments", application="reports"):
        time.sleep(8)
        yield


@specimen("no_statement_became_slower", sources=("pg_statements",))
@contextmanager
def lost_index(server):
    """A lookup that took no time, until its index was dropped."""
    lookup = "SELECT count(*) FROM visits WHERE tenant_id = 7"
    server.execute("CREATE UNLOGGED TABLE visits AS SELECT n AS tenant_id FROM generate_series(1, 300000) n")
    server.execute("CREATE INDEX visits_by_tenant ON visits (tenant_id)")
    server.execute("VACUUM ANALYZE visits")
    with server.connect() as connection:
        for _ in range(150):
            connection.execute(lookup)
    server.execute("DROP INDEX visits_by_tenant")
    with repeated(server, lookup, pause_s=0.01):
        yield


@contextmanager
def _large_sorts(server):
    set_up(server, work_mem="64kB")
    with repeated(server, "SELECT count(*) FROM (SELECT message FROM log_entries ORDER BY message OFFSET 1) sorted"):
        yield


@specimen("no_statement_spills_to_disk", sources=("pg_statements",))
@contextmanager
def spilling_statement(server):
    """A sort that does not fit into work_mem, again and again."""
    with _large_sorts(server):
        yield


@specimen("sorts_fit_into_memory", sources=("pg_databases",))
@contextmanager
def spilling_database(server):
    """A sort that does not fit into work_mem, again and again."""
    with _large_sorts(server):
        yield


# --- The server -------------------------------------------------------------------------------------------------------


@edited("postgres_answers_quickly", sources=("pg_server",))
def late_answer(source, record):
    """A server that is late on purpose is late or not by chance: the time of a real answer is raised."""
    return record | {"answer_ms": 1840.0}


@edited("postgres_version_is_supported", sources=("pg_server",))
def unsupported_version(source, record):
    """One server serves all specimens: it is said to be of an older version."""
    return record | {"version": "13.23", "major_version": 13}


@specimen("postgres_is_not_restarted", sources=("pg_server",))
@contextmanager
def restarted_server(server):
    """Restarted a moment ago."""
    server.restart()
    yield


@specimen("postgres_does_not_crash", sources=("pg_server",))
@contextmanager
def crashed_backend(server):
    """The kernel kills one process, and PostgreSQL starts all of them anew."""
    wait_until(server, "SELECT clock_timestamp() - pg_postmaster_start_time() > interval '11 s'")
    with server.connect() as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with suppress(psycopg.OperationalError):
            victim.execute("SELECT 1")
    while not server.answers():
        time.sleep(0.1)
    wait_until(server, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    yield


@specimen("no_page_is_damaged", sources=("pg_checksums",))
@contextmanager
def damaged_page(server):
    """Something wrote into a file of PostgreSQL's behind its back."""
    ((path,),) = server.execute("SELECT pg_relation_filepath('payments')")
    server.stop()
    with (server.folder / "data" / path).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"not a row" * 20)
    server.start()
    with suppress(psycopg.errors.DataCorrupted):
        server.execute("SELECT count(amount_cents) FROM payments")
    wait_until(server, "SELECT sum(checksum_failures) > 0 FROM pg_stat_database")
    yield


@specimen("blocks_come_from_memory", sources=("pg_databases",))
@contextmanager
def tiny_buffers(server):
    """Tables that are read over and over, and do not fit into shared_buffers."""
    set_up(server, shared_buffers="256kB", restart=True)
    with repeated(server, "SELECT count(message) FROM log_entries"):
        yield


@specimen("few_transactions_roll_back", sources=("pg_databases",))
@contextmanager
def failing_application(server):
    """Every transaction of an application ends in a rollback."""
    with repeated(server, "BEGIN; SELECT count(*) FROM tenants; ROLLBACK", pause_s=0.01):
        yield


# --- Settings and privileges ------------------------------------------------------------------------------------------


@specimen("no_setting_endangers_data", sources=("pg_settings",))
@contextmanager
def fsync_off(server):
    """Turned off for a bulk load, and never on again."""
    set_up(server, fsync="off")
    yield


@specimen("no_setting_waits_for_a_restart", sources=("pg_settings",))
@contextmanager
def change_without_restart(server):
    """max_connections was raised; the restart was forgotten."""
    set_up(server, max_connections=400)
    wait_until(server, "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'")
    yield


@specimen("timeouts_guard_every_role", sources=("pg_guards", "pg_guard_overrides", "pg_roles"))
@contextmanager
def role_without_timeout(server):
    """The server has a limit, the role of the application has none."""
    server.execute("ALTER ROLE app SET statement_timeout = 0")
    yield


@specimen("few_roles_are_superusers", sources=("pg_roles",))
@contextmanager
def many_superusers(server):
    """Three people, each with all rights."""
    for name in ("anna", "bert", "carla"):
        server.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
    yield


@specimen("no_schema_is_open_to_everyone", sources=("pg_open_schemas",))
@contextmanager
def open_schema(server):
    """As PostgreSQL 14 made it, and as upgrades keep it."""
    server.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    yield


@specimen("sessions_over_the_network_are_encrypted", sources=("pg_activity",))
@contextmanager
def plain_connections(server):
    """Eleven sessions without TLS. They are real, but from this machine: the addresses are changed."""
    with sessions(server, 11, "api-gateway"):
        yield


def _from_elsewhere(source, record):
    return record | ({"client": "10.0.0.7"} if record["client"] else {})


SPECIMENS["plain_connections"] = replace(SPECIMENS["plain_connections"], edit=_from_elsewhere)


@specimen("definer_functions_fix_their_search_path", sources=("pg_definer_functions",))
@contextmanager
def open_definer_function(server):
    """Runs as its owner, a superuser, with the caller's search_path."""
    body = "LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM payments'"
    server.execute(f"CREATE FUNCTION count_payments() RETURNS bigint {body}")
    yield
