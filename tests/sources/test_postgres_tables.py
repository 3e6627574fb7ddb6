"""Tables, indexes, vacuum, replication and WAL: the sources on every version of PostgreSQL."""

import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from nl_forensics import sources
from nl_forensics.collection.worker import readings
from nl_forensics.connect.postgres import connect
from nl_forensics.inputs.platform import Budget, PostgresEndpoint
from nl_forensics.sources import Partial, Proof
from nl_forensics.sources.postgres import bloat, indexes, replication, sequences, tables, vacuum, wal
from tests.asking import as_table
from tests.record import postgres_tables
from tests.stack import postgres

MODULES = (tables, indexes, bloat, vacuum, replication, wal, sequences)
SOURCES = {s.name: s for module in MODULES for s in vars(module).values() if isinstance(s, sources.Source)}
BUDGET = Budget(readings_s=0.5)


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


def test_the_use_of_an_index_before_counting_began_is_a_gap(server):
    server.execute("CREATE INDEX large ON log_entries (message, service, level) WITH (fillfactor = 10)")
    try:
        answered = Answered("pg_index_use", server.dsn())
    finally:
        server.execute("DROP INDEX large")
    assert answered.of(index="large").scans == 0
    assert "when counting began" in answered.gaps[0].unseen
