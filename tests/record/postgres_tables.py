"""Faults of PostgreSQL's tables, indexes, vacuum, replication and WAL. Each is given a server of its own."""

import shutil
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from psycopg import errors

from tests.record.specimens import SPECIMENS, edited, specimen
from tests.stack import postgres

MIB = 1024**2
WRITE_WAL = "SELECT count(pg_logical_emit_message(false, 'load', repeat('x', 1000000))) FROM generate_series(1, {})"


def set_up(server, restart=False, **settings):
    """Change settings of the server, as ALTER SYSTEM does."""
    for name, value in settings.items():
        server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.restart() if restart else server.execute("SELECT pg_reload_conf()")


def wait_until(server, sql):
    """Until a statement answers true."""
    deadline = time.monotonic() + 20
    while not server.execute(sql)[0][0]:
        assert time.monotonic() < deadline, f"never came true: {sql}"
        time.sleep(0.1)


@contextmanager
def repeated(server, sql, pause_s=0.0):
    """Send a statement again and again, as long as the block lasts."""
    ended = threading.Event()

    def send():
        with server.connect() as connection:
            while not ended.wait(pause_s):
                connection.execute(sql)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def moved_back(*columns, **age):
    """An edit: the named times lie further in the past."""

    def edit(source, record):
        times = {name: datetime.fromisoformat(record[name]) - timedelta(**age) for name in columns if record.get(name)}
        return record | {name: at.isoformat() for name, at in times.items()}

    return edit


# --- Replication and WAL ----------------------------------------------------------------------------------------------


@specimen("every_slot_is_read", sources=("pg_slots",))
@contextmanager
def forgotten_slot(server):
    """The replica is gone, its slot is not."""
    server.execute("SELECT pg_create_physical_replication_slot('replica_7', true)")
    server.execute(WRITE_WAL.format(20))
    yield


@specimen("slots_can_not_fill_the_disk", sources=("pg_slots",))
@contextmanager
def slot_without_limit(server):
    """The default: a slot may keep as much WAL as fits on the disk."""
    set_up(server, max_slot_wal_keep_size=-1)
    server.execute("SELECT pg_create_physical_replication_slot('replica_7', true)")
    yield


@specimen("replicas_keep_up", sources=("pg_replication",))
@contextmanager
def lagging_replica(server):
    """The replica receives, but its replay stands still."""
    with postgres.replica(server) as standby:
        standby.execute("SELECT pg_wal_replay_pause()")
        server.execute(WRITE_WAL.format(60))
        wait_until(server, "SELECT sent_lsn = pg_current_wal_lsn() FROM pg_stat_replication")
        yield


@contextmanager
def standby_in_place_of(server, primary):
    """The server under the same port, as a standby of another one."""
    with postgres.replica(primary) as copy:
        copy.stop()
        server.stop()
        own, theirs, spare = server.folder / "data", copy.folder / "data", server.folder / "own-data"
        own.rename(spare)
        shutil.copy2(spare / "server.conf", theirs)
        theirs.rename(own)
        server.start()
        yield
        server.stop()
        shutil.rmtree(own)
        spare.rename(own)
        server.start()


@specimen("every_standby_receives", sources=("pg_recovery",))
@contextmanager
def standby_without_primary(server):
    """The primary is gone; the standby is still there and shows old data."""
    with postgres.start() as primary, standby_in_place_of(server, primary):
        wait_until(server, "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'")
        primary.stop()
        wait_until(server, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
        yield


@specimen("every_standby_replays", sources=("pg_recovery",))
@contextmanager
def paused_standby(server):
    """Somebody paused replay to look at old rows, and left."""
    with postgres.start() as primary, standby_in_place_of(server, primary):
        server.execute("SELECT pg_wal_replay_pause()")
        primary.execute(WRITE_WAL.format(60))
        received = "pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        wait_until(server, f"SELECT {received} > 55000000")
        yield


@specimen("wal_is_archived", sources=("pg_archiver",))
@contextmanager
def failing_archiver(server):
    """The archive takes nothing."""
    set_up(server, archive_mode="on", archive_command="false", restart=True)
    server.execute(WRITE_WAL.format(1))
    server.execute("SELECT pg_switch_wal()")
    wait_until(server, "SELECT failed_count > 0 FROM pg_stat_archiver")
    yield


@specimen("wal_directory_is_small", sources=("pg_wal",))
@contextmanager
def swollen_wal_directory(server):
    """A slot that nobody reads keeps more WAL than max_wal_size."""
    set_up(server, min_wal_size="32MB", max_wal_size="32MB")
    server.execute("SELECT pg_create_physical_replication_slot('replica_7', true)")
    server.execute(WRITE_WAL.format(100))
    yield


@specimen("wal_grows_at_a_bearable_rate", sources=("pg_wal",))
@contextmanager
def racing_wal(server):
    """One client writes as fast as the disk lets it."""
    set_up(server, fsync="off", min_wal_size="32MB", max_wal_size="64MB")
    with repeated(server, WRITE_WAL.format(50)):
        yield


@specimen("checkpoints_come_by_the_clock", sources=("pg_checkpoints",))
@contextmanager
def hurried_checkpoints(server):
    """Checkpoints follow one another."""
    with repeated(server, "CHECKPOINT", pause_s=0.2):
        wait_until(server, "SELECT checkpoints_req > 10 FROM pg_stat_bgwriter")
        yield


# --- Vacuum -----------------------------------------------------------------------------------------------------------


def dead_rows(server, table, rows=20_000, options=""):
    """A table of which every row died once."""
    server.execute(f"CREATE TABLE {table} (id bigint, state text) {options}")
    server.execute(f"INSERT INTO {table} SELECT n, 'queued' FROM generate_series(1, {rows}) n")
    server.execute(f"ANALYZE {table}")
    server.execute(f"UPDATE {table} SET state = 'done'")
    wait_until(server, f"SELECT n_dead_tup >= {rows} FROM pg_stat_user_tables WHERE relname = '{table}'")


@specimen("autovacuum_is_on", sources=("pg_autovacuum",))
@contextmanager
def autovacuum_off(server):
    """Somebody turned autovacuum off."""
    set_up(server, autovacuum="off")
    yield


@specimen("autovacuum_has_a_free_worker", sources=("pg_autovacuum", "pg_vacuum_queue"))
@contextmanager
def starved_autovacuum(server):
    """One slow worker, and more tables than it can take in hand."""
    for table in ("outbox", "deliveries"):
        dead_rows(server, table)
    slow = {"autovacuum_vacuum_cost_delay": "100ms", "autovacuum_vacuum_cost_limit": 1}
    set_up(server, autovacuum_max_workers=1, autovacuum_naptime="1s", **slow, restart=True)
    wait_until(server, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'")
    yield


@specimen("autovacuum_keeps_up", sources=("pg_vacuum_queue",))
@contextmanager
def dead_rows_pile_up(server):
    """Nothing cleans up behind the updates."""
    set_up(server, autovacuum="off")
    dead_rows(server, "outbox")
    yield


@specimen("no_table_opts_out_of_autovacuum", sources=("pg_vacuum_queue",))
@contextmanager
def table_without_autovacuum(server):
    """Autovacuum was turned off for a bulk load, and never on again."""
    dead_rows(server, "outbox", options="WITH (autovacuum_enabled = off)")
    yield


@specimen("planner_statistics_are_fresh", sources=("pg_vacuum_queue",))
@contextmanager
def table_never_analyzed(server):
    """A bulk load, and no ANALYZE after it."""
    server.execute("CREATE TABLE imported (id bigint) WITH (autovacuum_enabled = off)")
    server.execute("INSERT INTO imported SELECT generate_series(1, 20000)")
    wait_until(server, "SELECT n_mod_since_analyze > 0 FROM pg_stat_user_tables WHERE relname = 'imported'")
    yield


@specimen("no_snapshot_blocks_vacuum", sources=("pg_xmin_holders",))
@contextmanager
def old_snapshot(server):
    """A report keeps its snapshot while 10,500 transactions pass by."""
    with server.connect("app") as report:
        report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM payments")
        server.execute("CREATE TABLE passing (id int)")
        insert = "BEGIN INSERT INTO passing VALUES (n); EXCEPTION WHEN OTHERS THEN NULL; END;"
        server.execute(f"DO $$ BEGIN FOR n IN 1..10500 LOOP {insert} END LOOP; END $$")
        yield


@specimen("no_prepared_transaction_is_forgotten", sources=("pg_prepared_transactions",))
@contextmanager
def forgotten_prepared_transaction(server):
    """Its manager died. It is real, but a minute old: the time at which it was prepared is moved back by two hours."""
    set_up(server, max_prepared_transactions=5, restart=True)
    with server.connect("app") as manager:
        manager.execute("BEGIN")
        manager.execute("UPDATE invoices SET status = 'paid' WHERE id = 1")
        manager.execute("PREPARE TRANSACTION 'billing-4711'")
    yield


SPECIMENS["forgotten_prepared_transaction"] = replace(
    SPECIMENS["forgotten_prepared_transaction"], edit=moved_back("prepared_at", hours=2)
)


@edited("no_database_nears_wraparound", sources=("pg_wraparound",))
def database_near_wraparound(source, record):
    """No server can use up two thousand million transaction ids in minutes: the age of one database is raised."""
    return record | ({"xid_age": 1_780_000_000} if record["database"] == "neurallog" else {})


@edited("old_rows_are_frozen_in_time", sources=("pg_wraparound_tables",))
def table_never_frozen(source, record):
    """No server can use up 260 million transaction ids in minutes: the age of one table is raised."""
    return record | (
        {"xid_age": 260_000_000} if record["table"] == "pg_proc" and record["database"] == "neurallog" else {}
    )


# --- Tables and indexes -----------------------------------------------------------------------------------------------


@specimen("large_tables_are_read_by_index", sources=("pg_tables",))
@contextmanager
def missing_index(server):
    """The index went with a migration; every look at a tenant's payments reads the whole table."""
    server.execute("DROP INDEX payments_by_tenant_and_time")
    with repeated(server, "SELECT count(*) FROM payments WHERE tenant_id = 7", pause_s=0.1):
        yield


@specimen("every_index_is_valid", sources=("pg_indexes",))
@contextmanager
def invalid_index(server):
    """CREATE UNIQUE INDEX CONCURRENTLY found duplicates, failed, and left the index behind."""
    with suppress(errors.UniqueViolation):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY tenants_plan_key ON tenants (plan)")
    yield


@specimen("every_index_is_used", sources=("pg_index_use",))
@contextmanager
def unused_index(server):
    """A large index without a use. It is real, but a minute old: the time from which scans are counted is moved back by 40 days."""
    server.execute(
        "CREATE INDEX log_entries_by_message ON log_entries (message, service, level) WITH (fillfactor = 10)"
    )
    yield


SPECIMENS["unused_index"] = replace(SPECIMENS["unused_index"], edit=moved_back("counted_since_at", days=40))


@specimen("no_index_is_redundant", sources=("pg_indexes",))
@contextmanager
def redundant_index(server):
    """The beginning of another index."""
    server.execute("CREATE INDEX payments_by_tenant ON payments (tenant_id)")
    yield


@specimen("every_foreign_key_has_an_index", sources=("pg_foreign_keys",))
@contextmanager
def foreign_key_without_index(server):
    """Deleting an invoice reads all payments."""
    server.execute("DROP INDEX payments_by_invoice")
    yield


def half_empty_table(server):
    """240 MiB of heap and 130 MiB of index for 500,000 rows, made with a low fill factor that is then taken back."""
    server.execute("CREATE EXTENSION pgstattuple")
    server.execute("CREATE UNLOGGED TABLE sessions (id bigint) WITH (fillfactor = 10)")
    server.execute("INSERT INTO sessions SELECT generate_series(1, 660000)")
    server.execute("CREATE INDEX sessions_by_id ON sessions (id) WITH (fillfactor = 10)")
    server.execute("ALTER TABLE sessions RESET (fillfactor)")
    server.execute("ALTER INDEX sessions_by_id RESET (fillfactor)")
    server.execute("VACUUM ANALYZE sessions")


@specimen("no_table_is_bloated", sources=("pg_table_bloat",))
@contextmanager
def bloated_table(server):
    """Nearly all of the table is free space."""
    half_empty_table(server)
    yield


@specimen("no_index_is_bloated", sources=("pg_index_bloat",))
@contextmanager
def bloated_index(server):
    """Nearly all of the index is free space."""
    half_empty_table(server)
    yield


@specimen("no_table_is_mostly_index", sources=("pg_relation_sizes",))
@contextmanager
def more_index_than_table(server):
    """An index five times as large as its table."""
    server.execute("CREATE UNLOGGED TABLE sessions (id bigint)")
    server.execute("INSERT INTO sessions SELECT generate_series(1, 560000)")
    server.execute("CREATE INDEX sessions_by_id ON sessions (id) WITH (fillfactor = 10)")
    yield


@specimen("no_sequence_runs_out", sources=("pg_sequences",))
@contextmanager
def sequence_near_its_end(server):
    """An integer key: its sequence goes to 9 quintillion, the column to 2 thousand million."""
    server.execute("CREATE TABLE events (id integer PRIMARY KEY)")
    server.execute("CREATE SEQUENCE events_id_seq OWNED BY events.id")
    server.execute("SELECT setval('events_id_seq', 2050000000)")
    server.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO nl_forensics")
    yield


@specimen("sessions_are_tracked", sources=("pg_settings",))
@contextmanager
def activity_not_tracked(server):
    set_up(server, track_activities="off")
    yield
