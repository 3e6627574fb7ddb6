"""Incidents of PostgreSQL, and the quiet afternoon that they are compared with."""

import json
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import psycopg

from tests.record.past import (
    GIB,
    POSTGRES_VOLUME,
    Ramp,
    Turn,
    connections,
    down,
    longest_transaction,
    of_database,
    past,
)
from tests.record.postgres_sessions import busy, session
from tests.record.postgres_tables import WRITE_WAL, wait_until
from tests.record.stories import story
from tests.stack import history
from tests.stack.history import Counter, Gauge
from tests.stack.load import load

SETTLED_S = 10  # two scrapes, and enough requests for averages
# As many platforms run: nothing ends a session that is stuck.
UNGUARDED = {"statement_timeout": 0, "lock_timeout": 0, "idle_in_transaction_session_timeout": 0}
MORE_LOGS = (
    "INSERT INTO log_entries (tenant_id, level, service, message, recorded_at)"
    " SELECT 1 + n % 20, 'debug', 'api-gateway', 'request ' || n || ' handled', now() - n * interval '100 ms'"
    " FROM generate_series(1, {}) n"
)


@story("Nothing is wrong")
def healthy(stage):
    """The platform under its usual load. Every log is read: of two pods of a workload, one tells nothing of the other."""
    with stage.platform(past(services=history.SERVICES)) as platform:
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), budget={"kubernetes_all_logs": True, "kubernetes_log_lines": 2_000})


@story("The log search takes seconds since the migration")
def slow_query(stage):
    """A migration dropped the index under the log search: every search reads the whole table now."""
    told = past(
        11,
        postgres={
            connections("active"): Gauge(3, 0.4, whole=True),
            longest_transaction("active"): Gauge(0.3, 0.5),
            of_database("pg_stat_database_tup_returned"): Counter(3_000_000),
            of_database("pg_stat_database_blks_hit"): Counter(60_000),
        },
    )
    with stage.servers(told) as servers, load(servers.pgbouncer, servers.redis) as running:
        servers.postgres.execute(MORE_LOGS.format(300_000))
        servers.postgres.execute("ANALYZE log_entries")
        running.run("log-search", search_logs, per_second=20)
        time.sleep(SETTLED_S)
        servers.postgres.execute("DROP INDEX log_entries_by_tenant_and_time", user="app")
        time.sleep(SETTLED_S / 2)
        stage.record(servers.environment(), service="log-search")


def search_logs(sql, keys):
    """The newest log lines of a tenant."""
    query = "SELECT level, service, message FROM log_entries WHERE tenant_id = %s ORDER BY recorded_at DESC LIMIT 50"
    sql.execute(query, [time.monotonic_ns() % 20 + 1]).fetchall()


@story("The API hangs, invoices can't be opened")
def lock_chain(stage):
    """A payment was left open. A migration waits for it, and everybody who wants to see an invoice waits for the migration."""
    told = past(
        13,
        postgres={
            connections("idle in transaction"): Gauge(1),
            connections("active"): Ramp(1, 14, whole=True),
            longest_transaction("idle in transaction"): Ramp(0, 13 * 60),
            longest_transaction("active"): Ramp(0, 12 * 60),
            of_database("pg_stat_database_numbackends"): Ramp(5, 18, whole=True),
            of_database("pg_stat_database_xact_commit"): Counter(6),
            'pg_locks_count{datname="neurallog",mode="accessexclusivelock"}': Gauge(1),
        },
    )
    with ExitStack() as stuck:

        def before(clock, primary, replica, cache):
            clock.set(timedelta(minutes=13))
            pay = "UPDATE invoices SET status = 'paid' WHERE tenant_id = 7"
            stuck.enter_context(session(primary, "BEGIN", pay, application="billing-service"))
            clock.set(timedelta(minutes=12))
            migrate = "ALTER TABLE invoices ADD COLUMN due_on date"
            stuck.enter_context(busy(primary, migrate, application="migration"))
            wait_until(primary, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted")
            clock.set(timedelta(minutes=11))
            look = "SELECT period_start, amount_cents, status FROM invoices WHERE tenant_id = 3"
            for _ in range(9):
                stuck.enter_context(busy(primary, look, application="api-gateway"))
            wait_until(primary, "SELECT count(*) = 10 FROM pg_locks WHERE NOT granted")

        with (
            stage.servers(told, before, postgres_settings=UNGUARDED) as servers,
            load(servers.pgbouncer, servers.redis) as running,
            stuck,
        ):
            running.run("log-shipper", ship_logs, per_second=20)
            time.sleep(SETTLED_S)
            stage.record(servers.environment(), service="api-gateway")


def ship_logs(sql, keys):
    """Log lines that don't come through the API."""
    keys.lpush("log_queue", *[json.dumps({"tenant": 7, "level": "info", "message": f"line {n}"}) for n in range(3)])


@story("Services can't connect to the database")
def connections_exhausted(stage):
    """The new version of a service opens a connection for each request and closes none, until there is none left, not for us either."""
    told = past(
        14,
        postgres={
            connections("idle"): Ramp(3, 46, whole=True),
            of_database("pg_stat_database_numbackends"): Ramp(4, 47, whole=True),
        },
    )
    with stage.servers(told) as servers, load(servers.pgbouncer, servers.redis):
        time.sleep(SETTLED_S / 2)
        with every_connection(servers.postgres, "report-service"):
            time.sleep(SETTLED_S / 2)
            stage.record(servers.environment())


@contextmanager
def every_connection(server, application):
    """Sessions of an application until the server refuses one more."""
    with ExitStack() as leaked:
        while True:
            try:
                leaked.enter_context(session(server, "SELECT 1", application=application))
            except psycopg.OperationalError:
                break
        yield


@story("Everything that needs the database fails")
def postgres_down(stage):
    """PostgreSQL was stopped, and nobody started it again."""
    told = past(12, postgres=down(history.POSTGRES_SERIES, "pg_up"))

    def before(clock, primary, replica, cache):
        primary.stop()

    with stage.servers(told, before) as servers, load(servers.pgbouncer, servers.redis):
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("Reports show the numbers of a quarter of an hour ago")
def replica_lagging(stage):
    """Replay on the replica was paused for a backup and not resumed, while the primary writes on. We ask both of them."""
    lag = {"pg_replication_lag": Ramp(0, 14 * 60)}
    slot = {'pg_replication_slots_pg_wal_lsn_diff{slot_name="replica_1"}': Ramp(600, 130e6, whole=True)}

    def before(clock, primary, replica, cache):
        clock.set(timedelta(minutes=14))
        primary.execute("UPDATE tenants SET plan = plan WHERE id = 19")
        wait_until(primary, "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
        replica.execute("SELECT pg_wal_replay_pause()")
        replica.execute("ALTER SYSTEM SET random_page_cost = 1.1")  # somebody tried something, and there only
        replica.execute("SELECT pg_reload_conf()")

    patient = {"wal_sender_timeout": 0, "wal_receiver_timeout": 0}
    told = past(14, postgres=slot, replica=lag)
    with (
        stage.servers(told, before, postgres_settings=patient) as servers,
        load(servers.pgbouncer, servers.redis),
    ):
        for _ in range(6):
            servers.postgres.execute(WRITE_WAL.format(20))
        time.sleep(SETTLED_S)
        addresses = servers.environment() | {"NL_REPLICA_DSN": servers.replica.dsn()}
        stage.record(addresses, standbys={"replica": "NL_REPLICA_DSN"})


@story("The volume of the database is nearly full")
def disk_filling(stage):
    """Debug logging was switched on: the log table grows, and its volume is full within the hour."""
    full = {POSTGRES_VOLUME: Turn(Ramp(14.02 * GIB, 14 * GIB), Ramp(14 * GIB, 0.7 * GIB), 270)}
    size = {'pg_database_size_bytes{datname="neurallog"}': Turn(Counter(5_000, 0.3, 15e6), Counter(9_000, 0.3), 270)}
    with stage.servers(past(volumes=full, postgres=size)) as servers, load(servers.pgbouncer, servers.redis):
        for _ in range(10):
            servers.postgres.execute(MORE_LOGS.format(60_000), user="app")
            time.sleep(SETTLED_S / 10)
        servers.postgres.execute("VACUUM ANALYZE log_entries")  # as autovacuum does within a minute
        stage.record(servers.environment())


@story("Nobody can say to which moment the database could be restored")
def backup_stale(stage):
    """The archive of the WAL has taken nothing for forty minutes: its volume is full, and no backup since then can be restored."""

    def before(clock, primary, replica, cache):
        clock.set(timedelta(minutes=50))
        primary.execute("SELECT pg_switch_wal()")
        wait_until(primary, "SELECT archived_count > 0 FROM pg_stat_archiver")
        clock.set(timedelta(minutes=40))
        primary.execute("ALTER SYSTEM SET archive_command = 'false'")
        primary.execute("SELECT pg_reload_conf()")

    archiving = {"archive_mode": "on", "archive_command": "true"}
    with stage.servers(before=before, postgres_settings=archiving) as servers, load(servers.pgbouncer, servers.redis):
        servers.postgres.execute(WRITE_WAL.format(5))
        servers.postgres.execute("SELECT pg_switch_wal()")
        wait_until(servers.postgres, "SELECT failed_count > 0 FROM pg_stat_archiver")
        time.sleep(SETTLED_S)
        stage.record(servers.environment())
