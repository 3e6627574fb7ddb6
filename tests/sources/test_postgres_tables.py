"""Tables, indexes, vacuum, replication and WAL: the sources on every version of PostgreSQL, and the false alarms of the rules."""

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.collection.worker import readings
from nl_forensics.connect.postgres import connect
from nl_forensics.inputs.platform import Budget, PostgresEndpoint
from nl_forensics.sources import Partial, Proof
from nl_forensics.sources.postgres import bloat, indexes, replication, sequences, tables, vacuum, wal
from nl_forensics.units import Wording
from tests import recorded
from tests.asking import as_table
from tests.record import postgres_tables, specimens
from tests.stack import postgres

MODULES = (tables, indexes, bloat, vacuum, replication, wal, sequences)
SOURCES = {s.name: s for module in MODULES for s in vars(module).values() if isinstance(s, sources.Source)}
BUDGET = Budget(readings_s=0.5)
NOW = pd.Timestamp("2026-11-03 14:00", tz="UTC").as_unit("us")


class Answered:
    """What a source answered: its table, its gaps, and whether an empty table is proven whole."""

    def __init__(self, name, dsn):
        platform = type("Platform", (), {"budget": BUDGET})
        link = connect(dsn, PostgresEndpoint(endpoint="UNUSED"), BUDGET)
        try:
            items = list(readings(SOURCES[name], link, None, platform))
        finally:
            link.close()
        self.gaps = [item for item in items if isinstance(item, Partial)]
        self.proof = next((item for item in items if isinstance(item, Proof)), None)
        recorded = [item for item in items if not isinstance(item, Partial | Proof)]
        self.table = SOURCES[name].table(json.loads(json.dumps(recorded, default=str)))
        self.holes = as_table(name, self.table).rows_with_holes

    def of(self, **values):
        """The one row with these values."""
        found = self.table
        for column, value in values.items():
            found = found[found[column] == value]
        assert len(found) == 1, f"{values}: {len(found)} rows"
        return found.iloc[0]


@pytest.fixture(scope="module", params=postgres.VERSIONS)
def server(request):
    settings = {"fsync": "off", "max_prepared_transactions": 5, "autovacuum": "off"}
    with postgres.start(request.param, settings) as running:
        running.execute(EXTRA_TABLES)
        yield running


# Names with capitals, blanks and quotes; partitions; options of single tables; every kind of sequence owner.
EXTRA_TABLES = """
CREATE TABLE "Mixed Case" (id serial PRIMARY KEY, note text);
CREATE TABLE "it's" (id bigint);
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX events_by_at ON events (at);
INSERT INTO events SELECT n, date '2025-06-01' + n % 365 FROM generate_series(1, 5000) n;
CREATE TABLE tuned (id smallint GENERATED ALWAYS AS IDENTITY)
    WITH (autovacuum_vacuum_threshold = 7, autovacuum_vacuum_scale_factor = 0, autovacuum_freeze_max_age = 150000000);
CREATE SEQUENCE borrowed;
CREATE TABLE borrower (id integer DEFAULT nextval('borrowed'));
CREATE SEQUENCE lonely INCREMENT -1 MINVALUE -100 MAXVALUE -1;
SELECT nextval('lonely'), nextval('borrowed');
ANALYZE;
"""


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_answers_a_monitoring_role_whole(server, name):
    answered = Answered(name, server.dsn())
    assert answered.holes.empty
    assert len(answered.table) or answered.proof
    if name != "pg_sequences":  # their last values are hidden from pg_monitor
        assert not answered.gaps


# What PostgreSQL shows to everyone, and what would look healthy and empty to a role that may not see it.
OPEN_TO_ALL = {
    "pg_tables",
    "pg_relation_sizes",
    "pg_database_sizes",
    "pg_foreign_keys",
    "pg_index_use",
    "pg_table_bloat",
    "pg_index_bloat",
    "pg_wraparound",
    "pg_wraparound_tables",
    "pg_prepared_transactions",
    "pg_slots",
    "pg_checkpoints",
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_plain_role_never_sees_a_healthy_empty_answer(server, name):
    answered = Answered(
        name, server.dsn("app")
    )  # owns the tables and sequences of the platform, but not those of postgres
    assert bool(answered.gaps) != (name in OPEN_TO_ALL)
    assert answered.holes.empty
    for gap in answered.gaps:
        assert gap.remedy.startswith("GRANT")


@pytest.mark.parametrize("name", SOURCES)
def test_an_exclusive_lock_holds_nothing_up(server, name):
    with server.connect() as migration:
        migration.execute("BEGIN")
        migration.execute('LOCK TABLE payments, events, "Mixed Case" IN ACCESS EXCLUSIVE MODE')
        began = datetime.now(UTC)
        answered = Answered(name, server.dsn())
        assert (datetime.now(UTC) - began).total_seconds() < BUDGET.readings_s + 3
    assert answered.holes.empty
    if name == "pg_relation_sizes":
        assert {gap.unseen.split(":")[0] for gap in answered.gaps} >= {"size of public.payments"}
        assert answered.of(table="invoices").table_bytes > 0
    elif name != "pg_sequences":
        assert not answered.gaps


def test_partitions_count_for_their_table(server):
    sizes = Answered("pg_relation_sizes", server.dsn())
    assert sizes.of(table="events").partitions == 2
    assert "events_2026" not in set(sizes.table.table)
    parts = Answered("pg_tables", server.dsn()).table
    assert set(parts[parts.root == "public.events"].table) == {"events_2025", "events_2026"}


def test_names_with_capitals_and_quotes_are_sized(server):
    sizes = Answered("pg_relation_sizes", server.dsn()).table
    assert {"Mixed Case", "it's"} <= set(sizes.table)


def test_the_estimated_size_is_near_the_exact_one(server):
    estimate = Answered("pg_tables", server.dsn()).of(table="log_entries")
    exact = Answered("pg_relation_sizes", server.dsn()).of(table="log_entries")
    assert estimate.heap_bytes == pytest.approx(exact.table_bytes, rel=0.05)
    assert estimate.indexes_bytes == pytest.approx(exact.indexes_bytes, rel=0.05)


def test_a_table_s_own_options_come_first(server):
    queue = Answered("pg_vacuum_queue", server.dsn())
    assert queue.of(table="tuned").vacuum_at_dead_rows == 7
    assert queue.of(table="payments").vacuum_at_dead_rows == pytest.approx(50 + 0.2 * 12_000)
    ages = Answered("pg_wraparound_tables", server.dsn()).table
    assert set(ages.freeze_xid_age) <= {150_000_000, 200_000_000}


def test_the_cap_of_postgres_18_is_honoured(server):
    if int(server.version) < 18:
        pytest.skip("autovacuum_vacuum_max_threshold came with 18")
    server.execute("ALTER TABLE payments SET (autovacuum_vacuum_max_threshold = 1000)")
    try:
        assert Answered("pg_vacuum_queue", server.dsn()).of(table="payments").vacuum_at_dead_rows == 1000
    finally:
        server.execute("ALTER TABLE payments RESET (autovacuum_vacuum_max_threshold)")


def test_a_sequence_ends_where_its_column_ends(server):
    hidden = Answered("pg_sequences", server.dsn())
    assert hidden.table.empty, "a null would say that no number was drawn"
    assert [gap.remedy for gap in hidden.gaps] == [
        "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO the role (it shows numbers only)"
    ]
    server.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO nl_forensics")
    answered = Answered("pg_sequences", server.dsn())
    assert not answered.gaps
    assert answered.of(sequence="tuned_id_seq").final_value == 32_767
    assert answered.of(sequence="Mixed Case_id_seq").owner == "public.Mixed Case.id"
    borrowed = answered.of(sequence="borrowed")
    assert (borrowed.owner, borrowed.final_value, borrowed.last_value) == ("public.borrower.id", 2_147_483_647, 1)
    lonely = answered.of(sequence="lonely")
    assert (lonely.first_value, lonely.final_value, lonely.last_value, lonely.is_descending) == (-1, -100, -1, True)


def test_every_kind_of_holder_of_old_rows_is_named(server):
    with server.connect("app") as report, server.connect("app") as manager:
        manager.execute("BEGIN")
        manager.execute("UPDATE invoices SET status = 'paid' WHERE id = 1")
        manager.execute("PREPARE TRANSACTION 'billing-1'")
        report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM payments")
        try:
            holders = Answered("pg_xmin_holders", server.dsn())
            prepared = Answered("pg_prepared_transactions", server.dsn())
        finally:
            manager.execute("ROLLBACK PREPARED 'billing-1'")
    assert holders.of(kind="session").role == "app"
    assert holders.of(kind="prepared transaction").held_since_at == prepared.of(gid="billing-1").prepared_at


def test_a_slot_says_since_when_it_is_not_read(server):
    server.execute("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        slot = Answered("pg_slots", server.dsn()).of(slot="gone")
    finally:
        server.execute("SELECT pg_drop_replication_slot('gone')")
    assert not slot.is_active
    assert slot.wal_status == "reserved"
    assert slot.keep_limit_bytes == 1024**3
    assert pd.isna(slot.inactive_since_at) == (int(server.version) < 17)


def test_index_keys_are_told_apart_without_waiting_for_a_lock(server):
    server.execute("CREATE INDEX lower_1 ON users (lower(email)) WHERE role = 'member'")
    server.execute("CREATE INDEX   lower_2   ON  users  (lower(email), tenant_id)  WHERE  role = 'member'")
    server.execute("CREATE INDEX by_pattern ON users (email text_pattern_ops DESC) INCLUDE (role)")
    try:
        answered = Answered("pg_indexes", server.dsn())
    finally:
        server.execute("DROP INDEX lower_1, lower_2, by_pattern")
    first, second = answered.of(index="lower_1"), answered.of(index="lower_2")
    assert second["keys"] == f"{first['keys']}; tenant_id"
    assert first.predicate == second.predicate
    pattern = answered.of(index="by_pattern")
    assert (pattern["keys"], pattern.included_columns) == ("email text_pattern_ops desc", "role")


def half_empty(server, table, rows):
    """Free space that no fill factor asks for."""
    server.execute(f"CREATE UNLOGGED TABLE {table} (id bigint, note text) WITH (fillfactor = 10)")
    server.execute(f"INSERT INTO {table} SELECT n, '' FROM generate_series(1, {rows}) n")
    server.execute(f"CREATE INDEX {table}_by_id ON {table} (id) WITH (fillfactor = 10)")
    server.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    server.execute(f"ALTER INDEX {table}_by_id RESET (fillfactor)")
    server.execute(f"VACUUM ANALYZE {table}")


def test_bloat_is_measured_or_estimated_or_a_gap(server):
    half_empty(server, "sessions", 80_000)
    try:
        unseen = Answered("pg_table_bloat", server.dsn())
        assert unseen.table.empty and "CREATE EXTENSION pgstattuple" in unseen.gaps[0].remedy
        index = Answered("pg_index_bloat", server.dsn()).of(index="sessions_by_id")
        assert index.bloat_bytes / index.index_bytes == pytest.approx(0.89, abs=0.04)
        server.execute("GRANT SELECT ON sessions TO nl_forensics")
        estimate = Answered("pg_table_bloat", server.dsn()).of(table="sessions")
        server.execute("CREATE EXTENSION pgstattuple")
        measured = Answered("pg_table_bloat", server.dsn()).of(table="sessions")
    finally:
        server.execute("DROP TABLE sessions")
        server.execute("DROP EXTENSION IF EXISTS pgstattuple")
    assert (estimate.method, measured.method) == ("estimate", "measured")
    assert measured.bloat_bytes / measured.heap_bytes == pytest.approx(0.9, abs=0.02)
    assert estimate.bloat_bytes / estimate.heap_bytes == pytest.approx(0.9, abs=0.03)


@pytest.fixture(scope="module")
def standby():
    with postgres.start() as primary, postgres.replica(primary) as running:
        postgres_tables.wait_until(primary, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
        yield running


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_answers_on_a_standby(standby, name):
    answered = Answered(name, standby.dsn())
    assert answered.holes.empty
    assert len(answered.table) or answered.proof
    of_the_primary = {"pg_vacuum_queue", "pg_xmin_holders", "pg_prepared_transactions"}
    assert bool(answered.gaps) == (name in of_the_primary | {"pg_sequences"})


def test_a_standby_says_that_it_is_one(standby):
    row = Answered("pg_recovery", standby.dsn()).table.iloc[0]
    assert (row.is_standby, row.has_primary, row.receiver_status, row.is_paused) == (True, True, "streaming", False)


# --- Rules ------------------------------------------------------------------------------------------------------------

RULES = {f"nl_forensics.checks.postgres.{name}" for name in ("tables", "indexes", "vacuum", "replication", "wal")}
CHECKS = {name: one for name, one in checks.load().items() if one.offenders.__module__ in RULES}
SPECIMENS = [one for one in specimens.load().values() if one.check in CHECKS]


def judged(check, *tables):
    """Severity of each offending row."""
    one = CHECKS[check]
    found = one.offenders(*tables, **one.limits)
    for row in found.to_dict("records"):
        assert Wording(one.subject).of(row | one.limits) and Wording(one.because).of(row | one.limits)
    return one.graded(found, one.limits).severity.tolist()


def rows(source, *records, asked_at=NOW):
    """A table of a source as a check gets it; columns that are not named are null."""
    given = pd.DataFrame([dict.fromkeys(SOURCES[source].columns) | record for record in records])
    given = given if records else pd.DataFrame(columns=list(SOURCES[source].columns))
    typed = {name: sources._cast(given[name], column.dtype) for name, column in SOURCES[source].columns.items()}
    return pd.DataFrame(typed).assign(instance="main", asked_at=asked_at)


def ago(**age):
    return (NOW - timedelta(**age)).isoformat()


@pytest.mark.parametrize("one", SPECIMENS, ids=lambda one: one.name)
def test_a_recorded_fault_is_seen(one):
    answers = recorded.specimen(one.name)["answers"]
    tables = []
    for name in CHECKS[one.check].needs:
        table = SOURCES[name].table(answers[name]["records"])
        asked_at = pd.Timestamp(answers[name]["asked_at"]).as_unit("us")
        tables.append(as_table(name, table).whole_rows.assign(instance="main", asked_at=asked_at))
    assert len(judged(one.check, *tables)) == 1


def test_every_rule_has_a_specimen():
    assert {one.check for one in SPECIMENS} == CHECKS.keys()


@pytest.mark.parametrize("check", CHECKS)
def test_an_empty_table_breaks_no_rule(check):
    assert judged(check, *(rows(name) for name in CHECKS[check].needs)) == []


def test_slots_that_are_idle_for_a_reason():
    slot = {"slot": "a", "is_temporary": False, "is_active": False, "is_synced": False, "retained_bytes": 1000}
    forgotten = slot | {"wal_status": "reserved"}
    assert judged("every_slot_is_read", rows("pg_slots", forgotten)) == ["high"]
    # A replica that has just restarted comes back within a minute.
    assert not judged("every_slot_is_read", rows("pg_slots", forgotten | {"inactive_since_at": ago(seconds=20)}))
    # A copy of the primary's slot on a standby is never read there.
    assert not judged("every_slot_is_read", rows("pg_slots", forgotten | {"is_synced": True}))
    # pg_basebackup makes a temporary one; it goes with the connection.
    assert not judged("every_slot_is_read", rows("pg_slots", forgotten | {"is_temporary": True}))
    # It was made without reserving WAL, and keeps none.
    assert not judged("every_slot_is_read", rows("pg_slots", forgotten | {"wal_status": None, "retained_bytes": 0}))
    lost = forgotten | {"wal_status": "lost", "retained_bytes": None, "invalidation_reason": "wal_removed"}
    read = forgotten | {"is_active": True}
    large = read | {"retained_bytes": 6 * 1024**3}
    assert judged("every_slot_is_read", rows("pg_slots", read, large, lost)) == ["critical", "medium"]


def test_replication_that_is_no_lagging_replica():
    replica = {"replica": "r", "state": "streaming", "behind_bytes": 0}
    # The last transaction of an idle primary may have taken long: nothing is missing now.
    assert not judged("replicas_keep_up", rows("pg_replication", replica | {"replay_lag_s": 90.0}))
    # A base backup is far behind by nature.
    backup = replica | {"state": "backup", "behind_bytes": 10**11}
    assert not judged("replicas_keep_up", rows("pg_replication", backup))
    slow = replica | {"behind_bytes": 2 * 1024**2, "replay_lag_s": 6.0}
    assert judged("replicas_keep_up", rows("pg_replication", slow)) == ["medium"]
    assert judged("replicas_keep_up", rows("pg_replication", slow | {"replay_lag_s": 301.0})) == ["high"]


def test_a_standby_that_is_fed_from_an_archive_receives_nothing():
    standby = {"is_standby": True, "has_primary": False, "is_paused": False, "receiver_status": "none"}
    assert not judged("every_standby_receives", rows("pg_recovery", standby))
    assert judged("every_standby_receives", rows("pg_recovery", standby | {"has_primary": True})) == ["high"]
    assert not judged(
        "every_standby_receives", rows("pg_recovery", standby | {"is_standby": False, "has_primary": True})
    )

    # Without pg_read_all_stats the status is hidden, which is no proof that there is no receiver.
    hidden = standby | {"has_primary": True, "receiver_status": None}
    assert not judged("every_standby_receives", rows("pg_recovery", hidden))


def test_a_hidden_receiver_is_not_a_missing_one():
    record = {"is_standby": True, "receiver_status": None}
    read = SOURCES["pg_recovery"].table([record, record | {"is_receiver_visible": False}]).receiver_status
    assert read.iloc[0] == "none"
    assert pd.isna(read.iloc[1])


def test_a_slot_without_wal_retains_none():
    record = {"wal_status": None, "retained_bytes": None}
    lost, unknown = record | {"wal_status": "lost"}, record | {"wal_status": "reserved"}
    retained = SOURCES["pg_slots"].table([record, lost, unknown]).retained_bytes
    assert retained.iloc[:2].tolist() == [0, 0]
    assert pd.isna(retained.iloc[2])


def test_archiving_that_is_off_or_has_recovered():
    on = {"archive_mode": "on", "has_command": True, "archived": 9, "failed": 0, "ready_files": 0}
    assert not judged("wal_is_archived", rows("pg_archiver", on | {"last_archived_at": ago(hours=9)}))  # an idle server
    recovered = on | {"last_failed_at": ago(minutes=9), "last_failed_wal": "01", "last_archived_at": ago(minutes=8)}
    assert not judged("wal_is_archived", rows("pg_archiver", recovered))
    assert not judged("wal_is_archived", rows("pg_archiver", on | {"archive_mode": "off", "ready_files": 900}))
    assert judged("wal_is_archived", rows("pg_archiver", recovered | {"ready_files": 1})) == ["medium"]
    assert judged("wal_is_archived", rows("pg_archiver", on | {"ready_files": 1, "has_command": False})) == ["high"]


def test_checkpoints_of_long_ago_are_housekeeping():
    counted = {"timed": 4, "requested": 16, "requested_delta": 0, "seconds": 5.0, "max_wal_bytes": 1024**3}
    assert judged("checkpoints_come_by_the_clock", rows("pg_checkpoints", counted)) == ["note"]
    # A new server: initdb and a base backup requested them all.
    assert not judged("checkpoints_come_by_the_clock", rows("pg_checkpoints", counted | {"timed": 0, "requested": 5}))
    assert judged("checkpoints_come_by_the_clock", rows("pg_checkpoints", counted | {"requested_delta": 2})) == [
        "medium"
    ]


def test_dead_rows_that_autovacuum_takes_care_of():
    queue = {
        "database": "d", "schema": "s", "table": "t", "live_rows": 100_000, "dead_rows": 40_000, "vacuum_at_dead_rows": 20_050.0,
        "is_enabled": True, "is_being_vacuumed": False,
    }  # fmt: skip
    assert judged("autovacuum_keeps_up", rows("pg_vacuum_queue", queue)) == ["medium"]
    assert not judged("autovacuum_keeps_up", rows("pg_vacuum_queue", queue | {"is_being_vacuumed": True}))
    # It has just become due: a worker comes within autovacuum_naptime.
    assert not judged("autovacuum_keeps_up", rows("pg_vacuum_queue", queue | {"dead_rows": 21_000}))
    # A small table is rewritten in milliseconds.
    small = queue | {"live_rows": 10, "dead_rows": 900, "vacuum_at_dead_rows": 52.0}
    assert not judged("autovacuum_keeps_up", rows("pg_vacuum_queue", small))
    assert judged("autovacuum_keeps_up", rows("pg_vacuum_queue", queue | {"dead_rows": 200_000})) == ["high"]
    # Taken out on purpose, and nothing to do: housekeeping.
    out = queue | {"is_enabled": False, "dead_rows": 0}
    assert judged("no_table_opts_out_of_autovacuum", rows("pg_vacuum_queue", out)) == ["note"]


def test_ids_that_are_as_old_as_freezing_makes_them():
    age = {"database": "d", "xid_age": 199_000_000, "multixact_age": 10}
    freeze = {"freeze_xid_age": 200_000_000, "freeze_multixact_age": 400_000_000}
    table = {"schema": "s", "table": "t", "is_toast": False, "heap_bytes": 0}
    # Just below autovacuum_freeze_max_age is the normal working point of anti-wraparound vacuum.
    assert not judged("old_rows_are_frozen_in_time", rows("pg_wraparound_tables", age | freeze | table))
    assert not judged("no_database_nears_wraparound", rows("pg_wraparound", age | freeze))
    multixact = age | {"multixact_age": 1_700_000_000}
    assert judged("no_database_nears_wraparound", rows("pg_wraparound", multixact | freeze)) == ["critical"]
    assert judged("old_rows_are_frozen_in_time", rows("pg_wraparound_tables", multixact | freeze | table)) == ["high"]


def test_short_transactions_hold_nothing_back():
    holder = {"kind": "session", "name": "77", "xid_age": 200, "held_since_at": ago(minutes=2)}
    assert not judged("no_snapshot_blocks_vacuum", rows("pg_xmin_holders", holder))
    assert judged("no_snapshot_blocks_vacuum", rows("pg_xmin_holders", holder | {"held_since_at": ago(hours=2)})) == [
        "high"
    ]
    slot = {"kind": "replication slot", "name": "gone", "xid_age": 50_000}
    assert judged("no_snapshot_blocks_vacuum", rows("pg_xmin_holders", slot)) == ["note"]
    two_phase = {"gid": "x", "database": "d", "role": "app", "prepared_at": ago(minutes=5), "xid_age": 4}
    assert not judged("no_prepared_transaction_is_forgotten", rows("pg_prepared_transactions", two_phase))


def test_a_report_now_and_then_may_read_a_whole_table():
    table = {
        "database": "d", "schema": "s", "table": "t", "estimated_rows": 50_000, "seconds": 5.0,
        "sequential_scans_delta": 1, "sequential_rows_delta": 50_000, "index_scans_delta": 0,
    }  # fmt: skip
    assert not judged("large_tables_are_read_by_index", rows("pg_tables", table))
    assert judged("large_tables_are_read_by_index", rows("pg_tables", table | {"sequential_scans_delta": 50})) == [
        "medium"
    ]
    mostly_by_index = table | {"sequential_scans_delta": 50, "index_scans_delta": 9_000}
    assert not judged("large_tables_are_read_by_index", rows("pg_tables", mostly_by_index))
    # The planner is right to read a small table whole, and a scan with LIMIT ends after a few rows.
    for rows_read in (150_000, 500):
        small = table | {"sequential_scans_delta": 500, "sequential_rows_delta": rows_read, "estimated_rows": 300}
        assert not judged("large_tables_are_read_by_index", rows("pg_tables", small))
    first_rows = table | {"sequential_scans_delta": 500, "sequential_rows_delta": 500}
    assert not judged("large_tables_are_read_by_index", rows("pg_tables", first_rows))
    never_analyzed = table | {"sequential_scans_delta": 50, "sequential_rows_delta": 2_500_000, "estimated_rows": None}
    assert judged("large_tables_are_read_by_index", rows("pg_tables", never_analyzed)) == ["medium"]


INDEX = {
    "database": "d", "schema": "s", "table": "t", "index": "a", "method": "btree", "keys": "tenant_id", "included_columns": "",
    "is_valid": True, "is_being_built": False, "size_bytes": 50 * 1024**2, "scans": 0, "counted_since_at": ago(days=60),
}  # fmt: skip


def test_indexes_without_a_scan_that_are_needed():
    index = {
        "database": "d", "schema": "s", "table": "t", "index": "a", "size_bytes": 50 * 1024**2, "scans": 0,
        "counted_since_at": ago(days=60), "is_standby": False,
    }  # fmt: skip
    unused = rows("pg_index_use", index)
    assert judged("every_index_is_used", unused) == ["note"]
    # The counters are too young: the monthly report may need it.
    assert not judged("every_index_is_used", rows("pg_index_use", index | {"counted_since_at": ago(days=3)}))
    # PostgreSQL 16 says when: long ago, or yesterday.
    scanned = index | {"scans": 9}
    assert judged("every_index_is_used", rows("pg_index_use", scanned | {"last_scan_at": ago(days=31)})) == ["note"]
    assert not judged("every_index_is_used", rows("pg_index_use", scanned | {"last_scan_at": ago(days=1)}))
    assert not judged("every_index_is_used", rows("pg_index_use", scanned))
    # Its replica reads it; and what a standby doesn't use, its primary may.
    replica = rows("pg_index_use", scanned | {"is_standby": True}).assign(instance="replica")
    assert not judged("every_index_is_used", pd.concat([unused, replica], ignore_index=True))
    assert not judged("every_index_is_used", rows("pg_index_use", index | {"is_standby": True}))


def test_the_use_of_an_index_before_counting_began_is_a_gap(server):
    server.execute("CREATE INDEX large ON log_entries (message, service, level) WITH (fillfactor = 10)")
    try:
        answered = Answered("pg_index_use", server.dsn())
    finally:
        server.execute("DROP INDEX large")
    assert answered.of(index="large").scans == 0
    assert "when counting began" in answered.gaps[0].unseen


def test_an_index_that_is_being_built_is_not_valid_yet():
    assert judged("every_index_is_valid", rows("pg_indexes", INDEX | {"is_valid": False})) == ["medium"]
    assert not judged("every_index_is_valid", rows("pg_indexes", INDEX | {"is_valid": False, "is_being_built": True}))


@pytest.mark.parametrize(
    ("first", "second", "redundant"),
    [
        ({}, {"keys": "tenant_id; created_at"}, 1),
        ({}, {}, 1),  # twice the same: one of them
        ({}, {"enforces": "uniqueness"}, 1),
        ({"enforces": "uniqueness"}, {"keys": "tenant_id; created_at"}, 0),  # it enforces that tenant_id is unique
        ({}, {"keys": "tenant_id desc; created_at"}, 0),
        ({}, {"keys": "tenant_id_2"}, 0),  # begins with the same letters only
        ({}, {"keys": "tenant_id; created_at", "predicate": "hash 1"}, 0),
        ({"predicate": "hash 1"}, {"predicate": "hash 1", "keys": "tenant_id; created_at"}, 1),
        ({"method": "gin"}, {"method": "gin", "keys": "tenant_id; created_at"}, 0),
        ({"included_columns": "email"}, {"keys": "tenant_id; created_at"}, 0),
        ({}, {"keys": "tenant_id; created_at", "is_valid": False}, 0),
    ],
)
def test_which_index_is_redundant(first, second, redundant):
    both = rows("pg_indexes", INDEX | first, INDEX | {"index": "b"} | second)
    assert len(judged("no_index_is_redundant", both)) == redundant


def test_sequences_that_do_not_run_out():
    sequence = {
        "database": "d", "schema": "s", "sequence": "q", "is_descending": False, "is_cyclic": False,
        "first_value": 1, "final_value": 1000, "last_value": 950.0,
    }  # fmt: skip
    assert judged("no_sequence_runs_out", rows("pg_sequences", sequence)) == ["high"]
    assert judged("no_sequence_runs_out", rows("pg_sequences", sequence | {"last_value": 800.0})) == ["note"]
    assert not judged("no_sequence_runs_out", rows("pg_sequences", sequence | {"is_cyclic": True}))
    assert not judged("no_sequence_runs_out", rows("pg_sequences", sequence | {"last_value": None}))  # never used
    down = sequence | {"is_descending": True, "first_value": -1, "final_value": -100, "last_value": -96.0}
    assert judged("no_sequence_runs_out", rows("pg_sequences", down)) == ["high"]
