"""Rules about settings: those that endanger data, those that differ from the configuration, and timeouts of stuck sessions."""

import pandas as pd

from nl_forensics.checks.rule import check

UNSAFE = {
    ("fsync", "off"): "a crash of the machine destroys the database",
    ("full_page_writes", "off"): "a crash of the machine leaves half-written pages",
    ("zero_damaged_pages", "on"): "damaged pages are emptied instead of reported: rows vanish without an error",
    ("ignore_checksum_failure", "on"): "damaged pages are used as if they were whole",
    ("ignore_invalid_pages", "on"): "recovery ignores missing pages",
}
# A replica with other values answers differently, or cannot take over.
ALIKE = (
    *("max_connections", "shared_buffers", "effective_cache_size", "max_worker_processes", "max_wal_senders"),
    *("max_prepared_transactions", "max_locks_per_transaction", "random_page_cost", "wal_level", "max_wal_size"),
)
NO_LIMIT = r"^0+\s*(us|ms|s|min|h|d)?$"
TOGETHER = ("statement_timeout", "idle_in_transaction_session_timeout")
MEANS = {
    "statement_timeout": "a statement may run forever",
    "lock_timeout": "a statement may wait for a lock forever",
    "idle_in_transaction_session_timeout": "an idle transaction may keep its locks forever",
    "transaction_timeout": "a transaction may stay open forever",
    "client_connection_check_interval": "a statement continues after its client has disconnected",
}


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {name}",
    because="is {setting}: {means}",
)
def no_setting_endangers_data(pg_settings):
    """No setting trades the safety of data for speed.

    fsync, full_page_writes, zero_damaged_pages, ignore_checksum_failure, ignore_invalid_pages: on a production server
    they are on, on, off, off, off.
    """
    rows = pg_settings[pg_settings.name.isin({name for name, _ in UNSAFE})]
    means = [UNSAFE.get(pair) for pair in zip(rows.name, rows.setting, strict=True)]
    rows = rows.assign(means=pd.Series(means, index=rows.index, dtype="str"))
    return rows[rows.means.notna()]


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, track_activities",
    because="is {setting}: pg_stat_activity shows no state and no statement of new sessions",
    guide=("C067",),
)
def sessions_are_tracked(pg_settings):
    """PostgreSQL tracks what its sessions do.

    With track_activities off, a session that blocks others or stays idle in a transaction cannot be found in an incident. On is the
    default of PostgreSQL.
    """
    return pg_settings[(pg_settings.name == "track_activities") & (pg_settings.setting == "off")]


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {name}",
    because="changed in the configuration file, not in effect before the next restart; running value: {setting}",
    guide=("C067",),
)
def no_setting_waits_for_a_restart(pg_settings):
    """No changed setting waits for a restart to take effect.

    The running value differs from the configuration file, and the next restart changes it (Crunchy Data's pgMonitor).
    """
    return pg_settings[pg_settings.pending_restart]


@check(
    section="05",
    severity="note",
    subject="postgres, setting {name}",
    because="differs between a primary and its replicas: {values}",
)
def replicas_are_set_like_their_primary(pg_settings, pg_server):
    """A primary and its replicas have the same settings.

    After a switch-over the new primary serves the load with its own memory and limits. Servers with one system identifier belong
    together.
    """
    rows = pg_settings[pg_settings.name.isin(ALIKE)]
    clusters = pg_server.drop_duplicates("instance").set_index("instance").system_identifier
    rows = rows.assign(cluster=rows.instance.map(clusters))
    unlike = rows[rows.groupby(["cluster", "name"]).setting.transform("nunique") > 1]
    if unlike.empty:
        return unlike
    shown = (unlike.setting + " " + unlike.unit.fillna("")).str.strip() + " on " + unlike.instance
    unlike = unlike.assign(values=shown.groupby([unlike.cluster, unlike.name]).transform(", ".join))
    return unlike.drop_duplicates(["cluster", "name"])


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {name}",
    because="unlimited for role {role}: {means}",
    guide=("C067", "C068"),
)
def timeouts_guard_every_role(pg_guards, pg_guard_overrides, pg_roles):
    """Every role of an application has timeouts that end a stuck session.

    The value for the role counts, else that of the database, else that of the server; 0 is no limit (pg_gather). Superusers, replication
    roles and our own role are excluded. Timeouts that an application sets in its own sessions are not visible. transaction_timeout
    is not required where statements and idle transactions are both limited.
    """
    roles = pg_roles[pg_roles.can_log_in & ~pg_roles.superuser & ~pg_roles.replication & ~pg_roles.ours]
    rows = pg_guards.merge(roles[["instance", "role"]], on="instance")
    unlimited = [_is_unlimited(row, pg_guard_overrides) for row in rows.itertuples()]
    rows = rows[pd.Series(unlimited, index=rows.index, dtype="bool")]
    lacking = rows.groupby(["instance", "role"]).name.transform(lambda names: names.isin(TOGETHER).any())
    rows = rows[(rows.name != "transaction_timeout") | lacking]
    return rows.assign(means=rows.name.map(MEANS)).sort_values(["name", "role"])


def _is_unlimited(guard, overrides: pd.DataFrame) -> bool:
    """Whether a role can have a session without this limit: in any database, if it differs by database."""
    same = overrides[(overrides.instance == guard.instance) & (overrides.name == guard.name)]
    of_role, of_all = same[same.role == guard.role], same[same.role.isna()]
    for written in (of_role.setting, of_all.setting):
        if len(written):
            return bool(written.str.match(NO_LIMIT).any())
    return guard.setting == 0
