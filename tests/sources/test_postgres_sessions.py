"""PostgreSQL's sessions, locks, statements, settings and privileges, and PgBouncer: sources on real servers, and rules on false alarms."""

import json
from contextlib import closing

import pandas as pd
import psycopg
import pytest

from nl_forensics import checks, sources
from nl_forensics.collection.worker import readings
from nl_forensics.sources import Partial, Proof
from nl_forensics.sources.postgres.locks import _paths
from tests import asking
from tests.record.postgres_sessions import busy, lock_chain, session, set_up
from tests.stack import pgbouncer, postgres

OURS = (
    *("pg_activity", "pg_wait_samples", "pg_connection_limits", "pg_blocking", "pg_lock_table", "pg_statements"),
    *("pg_databases", "pg_checksums", "pg_server", "pg_extensions", "pg_settings", "pg_guards", "pg_guard_overrides"),
    *("pg_roles", "pg_open_schemas", "pg_definer_functions"),
)
MAY_BE_EMPTY = {
    "pg_wait_samples",
    "pg_connection_limits",
    "pg_guard_overrides",
    "pg_open_schemas",
    "pg_definer_functions",
}
NOW = pd.Timestamp("2026-11-23T12:00Z").as_unit("us")


class Answer:
    """What one source answered: its records as they would be stored, its table, and what was said beside.

    meanwhile   called once, between the first reading and the next
    """

    def __init__(self, name, link, meanwhile=None):
        items = []
        for item in readings(sources.load()[name], link, None, asking.platform()):
            if meanwhile and isinstance(item, dict):  # of the first reading
                meanwhile()
                meanwhile = None
            items.append(item)
        self.records = [json.loads(json.dumps(item, default=str)) for item in items if isinstance(item, dict)]
        self.partial = [item for item in items if isinstance(item, Partial)]
        self.proof = [item for item in items if isinstance(item, Proof)]
        table = sources.load()[name].table(self.records)
        self.table = table.assign(instance="main", asked_at=pd.Timestamp.now("UTC").as_unit("us"))
        self.holes = asking.as_table(name, self.table).rows_with_holes


def linked(server, database=postgres.DATABASE):
    return closing(asking.link("postgres", server.dsn(database=database)))


@pytest.fixture(scope="module", params=postgres.VERSIONS)
def server(request):
    with postgres.start(request.param) as one:
        yield one


@pytest.fixture(scope="module")
def debian():
    with postgres.start() as one:
        yield one


def found(check, **tables):
    """The offending rows of a check with its own limits, graded."""
    one = checks.load()[check]
    return one.graded(one.offenders(**tables, **one.limits), one.limits)


# --- Every source on every version ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_source_answers_whole(server, name):
    server.execute("SELECT count(*) FROM payments", user="app")
    with linked(server) as link:
        answer = Answer(name, link)
    assert answer.partial == []
    assert answer.holes.empty
    assert not answer.table.empty or (name in MAY_BE_EMPTY and answer.proof) or name == "pg_blocking"


def test_lock_tree_names_root_and_table(server):
    with lock_chain(server, waiting=2), linked(server) as link:
        tree = Answer("pg_blocking", link).table
    assert len(tree) == 2
    assert set(tree.root_application) == {"billing-service"}
    assert set(tree.root_state) == {"idle in transaction"}
    assert set(tree.relation) == {"public.tenants"}
    assert set(tree.depth) == {1, 2}
    assert tree.waiting_since.notna().all()


def test_statements_are_counted_between_readings(server):
    statement = "SELECT count(*) FROM log_entries WHERE level = 'error'"
    server.execute(statement, user="app")
    with linked(server) as link:
        of_the_app = f"SELECT pg_sleep(0.01); {statement}"
        table = Answer("pg_statements", link, meanwhile=lambda: server.execute(of_the_app, user="app")).table
    row = table[table["query"].str.startswith("SELECT count(*) FROM log_entries")].iloc[0]
    assert row.calls_delta == 1
    assert row.exec_ms_delta > 0
    assert row.all_exec_ms_delta >= row.exec_ms_delta
    # New between the readings: it counts from zero, and is no hole.
    assert table[table["query"].str.contains("pg_sleep")].calls_delta.tolist() == [1]


# --- What is not seen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["13", "18"])
def test_plain_role_sees_gaps_not_health(version):
    """Without pg_monitor, PostgreSQL shows other sessions as rows of nulls, and statements as <insufficient privilege>."""
    with postgres.start(version, monitor=False) as server, lock_chain(server, waiting=1), linked(server) as link:
        for name in ("pg_activity", "pg_wait_samples", "pg_blocking", "pg_statements"):
            answer = Answer(name, link)
            assert [part.remedy for part in answer.partial][:1] == ["GRANT pg_monitor TO the role"], name
        assert Answer("pg_server", link).table.processes_started_at.isna().all()


def test_statements_without_module():
    with postgres.start(settings={"shared_preload_libraries": ""}) as server, linked(server) as link:
        answer = Answer("pg_statements", link)
    assert answer.table.empty
    assert not answer.proof
    assert "shared_preload_libraries" in answer.partial[0].remedy


def test_statements_of_an_extension_elsewhere(debian):
    """The view shows the whole server, from whichever database it was created in."""
    debian.execute("CREATE DATABASE empty")
    with linked(debian, "empty") as link:
        assert not Answer("pg_statements", link).table.empty


def test_statements_that_are_dropped_are_a_gap():
    with postgres.start(settings={"pg_stat_statements.max": 100}) as server:
        # The prepared data may be days old, and what was dropped is told per hour.
        server.execute("SELECT pg_stat_statements_reset()")
        for number in range(150):
            server.execute("SELECT 1" + number * ", 1")
        with linked(server) as link:
            assert "dropped" in Answer("pg_statements", link).partial[0].unseen


def test_guards_are_the_servers_not_ours(debian):
    """Our session sets timeouts of its own, which must not be taken for those of the server."""
    with linked(debian) as link:
        guards = Answer("pg_guards", link).table.set_index("name")
    assert guards.setting.statement_timeout == 60_000
    assert guards.setting.idle_in_transaction_session_timeout == 300_000


def test_guards_behind_those_of_our_role_are_a_gap(debian):
    debian.execute("ALTER ROLE nl_forensics SET lock_timeout = '200ms'")
    try:
        with linked(debian) as link:
            answer = Answer("pg_guards", link)
    finally:
        debian.execute("ALTER ROLE nl_forensics RESET lock_timeout")
    assert [part.remedy for part in answer.partial] == ["ALTER ROLE nl_forensics RESET lock_timeout"]
    assert "lock_timeout" not in set(answer.table.name)


def test_settings_hold_no_secret(debian):
    set_up(debian, primary_conninfo="host=db password=hunter2secret", archive_command="curl -u bob:hunter2secret")
    debian.execute("ALTER ROLE app SET app.jwt_secret = 'hunter2secret'")
    with linked(debian) as link:
        answers = [
            Answer(name, link).records for name in ("pg_settings", "pg_guards", "pg_guard_overrides", "pg_roles")
        ]
    assert "hunter2secret" not in json.dumps(answers)


def test_prepared_transaction_at_the_root():
    """It blocks like any other, but no session holds it: pg_blocking_pids calls it 0."""
    with postgres.start(settings={"max_prepared_transactions": 2}) as server:
        update = "UPDATE tenants SET plan = 'team' WHERE id = 1"
        with (
            session(server, "BEGIN", update, "PREPARE TRANSACTION 'billing-1'"),
            busy(server, update),
            linked(server) as link,
        ):
            rows = Answer("pg_blocking", link).table
    assert rows.root_pid.tolist() == [0]
    assert found("no_session_blocks_others", pg_blocking=rows.assign(asked_at=rows.asked_at + pd.Timedelta("5s")))[
        "severity"
    ].tolist() == ["critical"]


# --- The lock tree ----------------------------------------------------------------------------------------------------


def a_waiter(pid, blocked_by, **facts):
    """One row of pg_blocking: a session behind pid 1, which is idle in a transaction."""
    row = {
        "pid": pid, "blocked_by_pid": blocked_by, "depth": 1 if blocked_by == 1 else 2, "mode": "AccessShareLock",
        "query": "SELECT ?", "relation": "payments", "application": "api", "waiting_since": NOW - pd.Timedelta("5s"),
        "root_pid": 1, "root_application": "billing", "root_role": "app", "root_database": "neurallog",
        "root_state": "idle in transaction", "root_state_change": NOW, "root_query": "UPDATE payments", "instance": "main",
        "asked_at": NOW,
    }  # fmt: skip
    return row | facts


def test_a_migration_in_the_queue_is_named():
    """An ALTER TABLE behind a forgotten transaction blocks every later session: ending either of them helps."""
    migration = a_waiter(2, 1, mode="AccessExclusiveLock", query="ALTER TABLE payments ADD note text")
    behind = [a_waiter(pid, 2) for pid in (3, 4, 5)]
    [row] = found("no_session_blocks_others", pg_blocking=pd.DataFrame([migration, *behind])).to_dict("records")
    assert row["waiters"] == "4 sessions"
    assert row["queue"].startswith("3 of them queue behind pid 2, which requests AccessExclusiveLock: ALTER TABLE")
    [row] = found("no_session_blocks_others", pg_blocking=pd.DataFrame([a_waiter(2, 1)])).to_dict("records")
    assert row["queue"] == ""


class Rows:
    """A link that answers every question with the same rows."""

    def __init__(self, *rows):
        self.answer = rows

    def rows(self, *_):
        return iter(self.answer)


def test_sessions_without_track_activities_are_a_gap():
    """They have no transaction, state or statement to show, and look idle."""
    said = list(sources.load()["pg_activity"].fetch(Rows({"state": "disabled", "query": ""})))
    [gap] = [item for item in said if isinstance(item, Partial)]
    assert "track_activities" in gap.remedy


@pytest.mark.parametrize(
    ("blocked_by", "paths"),
    [
        pytest.param({2: [1], 3: [2, 1]}, {(2, 1, 1, 1), (3, 1, 1, 1)}, id="queue"),
        pytest.param({2: [1], 3: [2]}, {(2, 1, 1, 1), (3, 2, 1, 2)}, id="chain"),
        pytest.param({3: [1, 2]}, {(3, 1, 1, 1), (3, 2, 2, 1)}, id="two roots"),
        pytest.param({1: [2], 2: [1]}, {(2, 1, 1, 1)}, id="circle, before deadlock_timeout"),
        pytest.param({1: [2], 2: [3], 3: [2]}, {(1, 2, 2, 1), (3, 2, 2, 1)}, id="tail on a circle"),
        pytest.param({2: [1, 1, 1]}, {(2, 1, 1, 1)}, id="parallel workers name their leader several times"),
        pytest.param({}, set(), id="no waiter"),
    ],
)
def test_lock_paths(blocked_by, paths):
    assert set(_paths(blocked_by)) == paths


# --- False alarms -----------------------------------------------------------------------------------------------------


def a_session(**facts):
    """One healthy row of pg_activity, changed."""
    row = {
        "pid": 1,
        "database": "neurallog",
        "role": "app",
        "application": "api-gateway",
        "client": "10.0.0.1",
        "encrypted": True,
        "backend_type": "client backend",
        "state": "active",
        "query": "SELECT ?",
        "backend_start": NOW - pd.Timedelta("30D"),
        "query_start": NOW,
        "state_change": NOW,
    }
    table = sources.load()["pg_activity"].table(
        [{name: str(v) if isinstance(v, pd.Timestamp) else v for name, v in (row | facts).items()}]
    )
    return table.assign(instance="main", asked_at=NOW)


HOUR_AGO = NOW - pd.Timedelta("1h")


@pytest.mark.parametrize(
    ("severities", "facts"),
    [
        pytest.param(["critical"], {}, id="an ordinary statement"),
        # A replica's stream is one endless statement: a tool that ended it broke replication.
        pytest.param([], {"backend_type": "walsender", "query": "START_REPLICATION SLOT ?"}, id="walsender"),
        # It ends by itself, and must not be ended against wraparound.
        pytest.param([], {"backend_type": "autovacuum worker", "query": "autovacuum: VACUUM t"}, id="autovacuum"),
        # The victim of a lock is not the cause; the root of the chain is reported instead.
        pytest.param([], {"wait_event_type": "Lock", "wait_event": "tuple"}, id="waits for a lock"),
        # `query` still shows the last statement of an idle session.
        pytest.param([], {"state": "idle"}, id="idle"),
        pytest.param(["note"], {"query": "VACUUM payments"}, id="vacuum"),
        pytest.param(["note"], {"query": "create unique index concurrently i on t (c)"}, id="index build"),
        pytest.param(["note"], {"application": "pg_dump", "query": "COPY t TO STDOUT"}, id="dump"),
    ],
)
def test_long_queries(severities, facts):
    rows = found("no_query_runs_long", pg_activity=a_session(**{"query_start": HOUR_AGO} | facts))
    assert list(rows["severity"]) == severities


def test_background_processes_take_no_connection_slot():
    """GROUP BY state counts them as connections."""
    settings = [("max_connections", "10"), ("superuser_reserved_connections", "3")]
    pg_settings = pd.DataFrame(settings, columns=["name", "setting"]).assign(instance="main", asked_at=NOW)
    workers = pd.concat([a_session(pid=n, backend_type="parallel worker") for n in range(9)])
    assert found("connections_leave_room", pg_activity=workers, pg_settings=pg_settings).empty


def a_statement(**facts):
    """One row of pg_statements of a server with little to do, changed."""
    row = dict.fromkeys(sources.load()["pg_statements"].columns, 0) | {
        "database": "neurallog",
        "role": "app",
        "query_id": "1",
        "query": "SELECT ?",
        "calls": 1000,
        "exec_ms": 1000.0,
        "all_exec_ms": 1000.0,
        "seconds": 5.0,
        "counted_since": HOUR_AGO,
    }
    return pd.DataFrame([row | facts]).assign(instance="main", asked_at=NOW)


@pytest.mark.parametrize(
    ("check", "facts"),
    [
        # On an idle server some statement always takes most of the time, were it only a health check.
        ("no_statement_takes_most_of_the_time", {"calls_delta": 5, "exec_ms_delta": 5.0, "all_exec_ms_delta": 5.0}),
        # 0.02 ms → 0.2 ms is ten times as long, and nobody notices.
        ("no_statement_became_slower", {"exec_ms": 40.0, "calls": 1100, "calls_delta": 100, "exec_ms_delta": 20.0}),
        # One slow call out of few is chance.
        ("no_statement_became_slower", {"exec_ms": 5000.0, "calls": 1002, "calls_delta": 2, "exec_ms_delta": 4000.0}),
        # VACUUM takes minutes and is counted as a statement.
        ("no_statement_is_slow", {"query": "VACUUM ANALYZE payments", "exec_ms": 9e5, "calls": 3}),
    ],
)
def test_statements_that_are_no_problem(check, facts):
    assert found(check, pg_statements=a_statement(**facts)).empty


def test_slow_statement_of_long_ago_is_a_note():
    """A nightly report of 70 s is in the statistics for ever; it is no problem of this incident."""
    rows = found("no_statement_is_slow", pg_statements=a_statement(calls=30, exec_ms=30 * 70_000.0))
    assert list(rows["severity"]) == ["note"]


def test_replicas_are_compared_with_their_own_primary_only():
    shape = [("a", "16MB"), ("b", "64MB"), ("c", "16MB")]
    settings = pd.DataFrame([("shared_buffers", value, None, name) for name, value in shape])
    settings.columns = ["name", "setting", "unit", "instance"]
    settings["asked_at"] = NOW

    def unlike(*clusters):
        servers = pd.DataFrame({"instance": list("abc"), "system_identifier": clusters})
        return found("replicas_are_set_like_their_primary", pg_settings=settings, pg_server=servers)

    assert unlike("1", "2", "1").empty
    assert unlike("1", "1", "2")["values"].tolist() == ["16MB on a, 64MB on b"]


# --- PgBouncer --------------------------------------------------------------------------------------------------------


def test_pgbouncer_answers_whole(debian):
    with (
        pgbouncer.start(debian) as pooler,
        psycopg.connect(pooler.dsn("app", postgres.DATABASE)),
        closing(asking.link("pgbouncer", pooler.dsn())) as link,
    ):
        answers = {name: Answer(name, link) for name in ("pgbouncer_pools", "pgbouncer_lists", "pgbouncer_settings")}
    assert not any(answer.partial or len(answer.holes) or answer.table.empty for answer in answers.values())
    assert set(answers["pgbouncer_pools"].table.database) == {postgres.DATABASE}
    assert "max_client_conn" in set(answers["pgbouncer_settings"].table.name)
    assert found("no_client_waits_for_a_pool", pgbouncer_pools=answers["pgbouncer_pools"].table).empty
