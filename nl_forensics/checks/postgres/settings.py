"""Rules about settings: those that endanger data, those that are not what they seem, and the limits that end a stuck session."""

import pandas as pd

from nl_forensics.checks.rule import check

UNSAFE = {
    ("fsync", "off"): "a crash of the machine destroys the database",
    ("full_page_writes", "off"): "a crash of the machine leaves half-written pages",
    ("zero_damaged_pages", "on"): "damaged pages are emptied instead of reported: rows vanish without an error",
    ("ignore_checksum_failure", "on"): "damaged pages are used as if they were whole",
    ("ignore_invalid_pages", "on"): "recovery goes on over missing pages",
}
# Set differently on a replica, it answers differently, or can't take over.
ALIKE = (
    *("max_connections", "shared_buffers", "effective_cache_size", "max_worker_processes", "max_wal_senders"),
    *("max_prepared_transactions", "max_locks_per_transaction", "random_page_cost", "wal_level", "max_wal_size"),
)
NO_LIMIT = r"^0+\s*(us|ms|s|min|h|d)?$"
TOGETHER = ("statement_timeout", "idle_in_transaction_session_timeout")
MEANS = {
    "statement_timeout": "a statement may run for ever",
    "lock_timeout": "a statement may wait for a lock for ever",
    "idle_in_transaction_session_timeout": "a forgotten transaction keeps its locks for ever",
    "transaction_timeout": "a transaction may stay open for ever",
    "client_connection_check_interval": "a statement goes on after its client has gone",
}


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {name}",
    because="is {setting}: {means}",
)
def no_setting_endangers_data(pg_settings):
    """No setting trades the safety of data for speed.

    fsync, full_page_writes, zero_damaged_pages, ignore_checksum_failure, ignore_invalid_pages: on a server that holds
    anything of worth they are on, on, off, off, off.
    """
    means = [UNSAFE.get(pair) for pair in zip(pg_settings.name, pg_settings.setting, strict=True)]
    rows = pg_settings.assign(means=pd.Series(means, index=pg_settings.index, dtype="str"))
    return rows[rows.means.notna()]


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {name}",
    because="was changed in the configuration and still has its old value ({setting}): it takes effect at the next restart",
    guide=("C067",),
)
def no_setting_waits_for_a_restart(pg_settings):
    """No changed setting waits for a restart to take effect.

    The server runs with other values than its files say, and the next restart changes how it behaves (Crunchy Data's pgMonitor).
    """
    return pg_settings[pg_settings.pending_restart]


@check(
    section="05",
    severity="note",
    subject="postgres, setting {name}",
    because="is {values}: these are one primary and its replicas, so the same is expected",
)
def replicas_are_set_like_their_primary(pg_settings, pg_server):
    """A primary and its replicas are set alike.

    After a switch-over the other one carries the load with its own memory and limits. Which servers belong together is told by their
    system identifier.
    """
    rows = pg_settings[pg_settings.name.isin(ALIKE)]
    rows = rows.assign(cluster=rows.instance.map(pg_server.set_index("instance").system_identifier))
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
    because="is not limited for {role}: {means}",
    guide=("C067", "C068"),
)
def timeouts_guard_every_role(pg_guards, pg_guard_overrides, pg_roles):
    """Every role that applications use has timeouts that end a stuck session.

    What counts is the value for the role, else for the database, else of the server; 0 is no limit (pg_gather). Superusers, replication
    and our own role are left out. An application may set timeouts in its own sessions, which is not seen. transaction_timeout
    is not asked for where statements and idling are both limited.
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
