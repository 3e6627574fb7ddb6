"""Rules about tables, indexes, vacuum, replication and WAL: what they find in tables that a test makes."""

from datetime import timedelta

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.units import Wording

NOW = pd.Timestamp("2026-11-03 14:00", tz="UTC").as_unit("us")
RULES = {f"nl_forensics.checks.postgres.{name}" for name in ("tables", "indexes", "vacuum", "replication", "wal")}
CHECKS = {name: one for name, one in checks.load().items() if one.offenders.__module__ in RULES}


def judged(check, *tables):
    """Severity of each offending row."""
    one = CHECKS[check]
    found = one.offenders(*tables, **one.limits)
    for row in found.to_dict("records"):
        assert Wording(one.subject).of(row | one.limits) and Wording(one.because).of(row | one.limits)
    return one.graded(found, one.limits).severity.tolist()


def rows(source, *records, asked_at=NOW):
    """A table of a source as a check gets it; columns that are not named are null."""
    given = pd.DataFrame([dict.fromkeys(sources.load()[source].columns) | record for record in records])
    given = given if records else pd.DataFrame(columns=list(sources.load()[source].columns))
    typed = {name: sources._cast(given[name], column.dtype) for name, column in sources.load()[source].columns.items()}
    return pd.DataFrame(typed).assign(instance="main", asked_at=asked_at)


def ago(**age):
    return (NOW - timedelta(**age)).isoformat()


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
    read = sources.load()["pg_recovery"].table([record, record | {"is_receiver_visible": False}]).receiver_status
    assert read.iloc[0] == "none"
    assert pd.isna(read.iloc[1])


def test_a_slot_without_wal_retains_none():
    record = {"wal_status": None, "retained_bytes": None}
    lost, unknown = record | {"wal_status": "lost"}, record | {"wal_status": "reserved"}
    retained = sources.load()["pg_slots"].table([record, lost, unknown]).retained_bytes
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
