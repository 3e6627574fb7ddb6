"""Settings, their overrides for roles and databases, and privileges.

Some settings hold secrets (`primary_conninfo`, `ssl_passphrase_command`, custom parameters of applications): values are read by name only.
"""

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

SETTINGS = (
    *("max_connections", "superuser_reserved_connections", "reserved_connections", "max_prepared_transactions"),
    *("max_locks_per_transaction", "max_worker_processes", "max_parallel_workers", "max_wal_senders"),
    *("max_replication_slots", "shared_buffers", "effective_cache_size", "maintenance_work_mem", "temp_buffers"),
    *("hash_mem_multiplier", "huge_pages", "temp_file_limit", "random_page_cost", "effective_io_concurrency"),
    *("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "zero_damaged_pages"),
    *(
        "ignore_checksum_failure",
        "ignore_invalid_pages",
        "data_checksums",
        "wal_log_hints",
        "allow_in_place_tablespaces",
    ),
    *("wal_level", "max_wal_size", "min_wal_size", "wal_buffers", "wal_compression", "wal_keep_size"),
    *("max_slot_wal_keep_size", "idle_replication_slot_timeout", "archive_mode", "archive_timeout", "hot_standby"),
    *("hot_standby_feedback", "max_standby_streaming_delay", "max_standby_archive_delay", "wal_receiver_timeout"),
    *("wal_sender_timeout", "checkpoint_timeout", "checkpoint_completion_target", "checkpoint_warning"),
    *("autovacuum", "autovacuum_max_workers", "autovacuum_naptime", "autovacuum_vacuum_threshold"),
    *("autovacuum_vacuum_scale_factor", "autovacuum_vacuum_max_threshold", "autovacuum_vacuum_insert_threshold"),
    *("autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_threshold", "autovacuum_analyze_scale_factor"),
    *("autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit", "autovacuum_freeze_max_age"),
    *("autovacuum_multixact_freeze_max_age", "autovacuum_work_mem", "vacuum_cost_delay", "vacuum_cost_limit"),
    *("vacuum_failsafe_age", "track_activities", "track_counts", "track_io_timing", "track_activity_query_size"),
    *("log_lock_waits", "log_min_duration_statement", "log_temp_files", "log_checkpoints", "log_connections"),
    *("log_autovacuum_min_duration", "deadlock_timeout", "ssl", "server_version", "block_size"),
)
# Timeouts that end a session before it blocks others for long. Our own session sets the first three, so it can't show the server's.
GUARDS = (
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
    *("transaction_timeout", "client_connection_check_interval"),
)

# A pending restart is listed for any setting, a value only for those that are named.
LISTED = """
SELECT name, CASE WHEN name = ANY(%s) THEN setting END AS setting, unit, source AS origin, pending_restart
  FROM pg_settings WHERE name = ANY(%s) OR pending_restart ORDER BY name
"""
GUARD_DEFAULTS = """
SELECT name, setting, unit, source AS origin, current_user AS asked_as FROM pg_settings WHERE name = ANY(%s) ORDER BY name
"""
OVERRIDES = """
SELECT r.rolname AS role, d.datname AS database, split_part(entry, '=', 1) AS name,
       substr(entry, strpos(entry, '=') + 1) AS setting
  FROM pg_db_role_setting o CROSS JOIN LATERAL unnest(o.setconfig) AS entry
  LEFT JOIN pg_roles r ON r.oid = o.setrole LEFT JOIN pg_database d ON d.oid = o.setdatabase
 WHERE split_part(entry, '=', 1) = ANY(%s)
 ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3
"""
ROLES = """
SELECT rolname AS role, rolcanlogin AS can_log_in, rolsuper AS superuser, rolreplication AS replication,
       rolcreaterole AS creates_roles, rolcreatedb AS creates_databases, rolbypassrls AS bypasses_row_security,
       nullif(rolvaliduntil, 'infinity') AS valid_until, rolname = current_user AS ours
  FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname
"""
OPEN_SCHEMAS = """
SELECT current_database() AS database, n.nspname AS schema, pg_get_userbyid(n.nspowner) AS owner
  FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS entry
 WHERE entry.grantee = 0 AND entry.privilege_type = 'CREATE' AND n.nspname !~ '^pg_' ORDER BY n.nspname
"""
DEFINER_FUNCTIONS = """
SELECT current_database() AS database, p.oid::regprocedure::text AS function, pg_get_userbyid(p.proowner) AS owner,
       r.rolsuper AS owner_is_superuser
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
 WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS entry WHERE starts_with(entry, 'search_path='))
 ORDER BY r.rolsuper DESC, 2 LIMIT 200
"""


@source(
    columns={
        "name": Column("str", "name of the setting"),
        "setting": Column("str", "running value, in `unit`", unknown="not read: it may hold a secret"),
        "unit": Column("str", "`8kB`, `ms`, …", absent="a plain number or word"),
        "origin": Column("str", "source of the value: `default`, `configuration file`, …"),
        "pending_restart": Column(
            "boolean", "the configuration file has another value, which takes effect at the next restart"
        ),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C066", "C067"),
)
def pg_settings(postgres):
    """Settings that matter in an incident, with their running values; one row each.

    Excludes what our own session changes (statement_timeout, work_mem, jit and others): `pg_guards` has the timeouts.
    """
    yield from postgres.rows(LISTED, [list(SETTINGS), list(SETTINGS)])


@source(
    columns={
        "name": Column("str", "name of the timeout"),
        "setting": Column("Int64", "default of a new session, in `unit`; 0: no limit"),
        "unit": Column("str", "`ms`"),
        "origin": Column(
            "str",
            "source of the value: `default`, `configuration file`, `database` (the one that we are connected to), …",
        ),
    },
    covers="now",
    guide=("C067", "C068"),
)
def pg_guards(postgres):
    """Timeouts that end a stuck session, as a new session gets them by default; one row each.

    transaction_timeout exists since PostgreSQL 17, client_connection_check_interval since 14. Timeouts that an application sets in its own
    sessions are not included.
    """
    for row in postgres.as_configured(GUARD_DEFAULTS, [list(GUARDS)]):
        asked_as = row.pop("asked_as")
        if row["origin"] in ("user", "database user"):
            remedy = f"ALTER ROLE {asked_as} RESET {row['name']}"
            yield Partial(f"{row['name']} of the server: our own role overrides it", remedy)
        else:
            yield row


@source(
    columns={
        "role": Column("str", "role that it applies to", absent="every role"),
        "database": Column("str", "database that it applies to", absent="every database"),
        "name": Column("str", "name of the timeout"),
        "setting": Column("str", "value as written: `30s`, `5000`, `0`"),
    },
    covers="now",
    guide=("C067",),
)
def pg_guard_overrides(postgres):
    """The same timeouts where they are set for a role or a database (ALTER ROLE … SET, ALTER DATABASE … SET); one row each."""
    yield from postgres.rows(OVERRIDES, [list(GUARDS)])
    yield Proof("pg_db_role_setting was read")


@source(
    columns={
        "role": Column("str", "name of the role"),
        "can_log_in": Column("boolean", "LOGIN"),
        "superuser": Column("boolean", "SUPERUSER"),
        "replication": Column("boolean", "REPLICATION: it may stream WAL"),
        "creates_roles": Column("boolean", "CREATEROLE"),
        "creates_databases": Column("boolean", "CREATEDB"),
        "bypasses_row_security": Column("boolean", "BYPASSRLS"),
        "valid_until": Column(UTC, "expiry of its password", absent="it never expires"),
        "ours": Column("boolean", "the role that we are connected with"),
    },
    covers="now",
)
def pg_roles(postgres):
    """Roles and their server-wide attributes, PostgreSQL's predefined roles excluded; one row each."""
    yield from postgres.rows(ROLES)


@source(
    columns={
        "database": Column("str", "database of the schema"),
        "schema": Column("str", "name of the schema"),
        "owner": Column("str", "role that owns it"),
    },
    covers="now",
)
def pg_open_schemas(database):
    """Schemas in which every role may create objects; one row each."""
    yield from database.rows(OPEN_SCHEMAS)
    yield Proof("the privileges of every schema were read")


@source(
    columns={
        "database": Column("str", "database of the function"),
        "function": Column("str", "name and argument types"),
        "owner": Column("str", "role that it runs as"),
        "owner_is_superuser": Column("boolean", "its owner is a superuser"),
    },
    covers="now",
)
def pg_definer_functions(database):
    """SECURITY DEFINER functions without their own search_path, at most 200 per database; one row each.

    Names in their body resolve by the caller's search_path.
    """
    yield from database.rows(DEFINER_FUNCTIONS)
    yield Proof("pg_proc was read")
