"""Labels of sessions and statements in findings, and settings that several rules need."""

import pandas as pd

MAX_CHARACTERS = 160  # of a statement inside a sentence
# Statements that are long by nature, and programs that send such.
MAINTENANCE = (
    r"(?i)^\s*(VACUUM|ANALYZE|ANALYSE|REINDEX|CLUSTER|COPY|CREATE\s+(UNIQUE\s+)?INDEX|REFRESH\s+MATERIALIZED"
    r"|START_REPLICATION|BASE_BACKUP)\b"
)
MAINTENANCE_PROGRAMS = (
    r"^(pg_dump|pg_dumpall|pg_restore|pg_basebackup|pg_repack|vacuumdb|reindexdb|barman|pgbackrest.*)$"
)


def clients(pg_activity: pd.DataFrame) -> pd.DataFrame:
    """Sessions of applications and people. PostgreSQL's own processes and replicas take no connection slot."""
    return pg_activity[pg_activity.backend_type == "client backend"]


def session_of(rows: pd.DataFrame, prefix: str = "") -> pd.Series:
    """`api-gateway (app@neurallog)`: application, role and database of a session."""
    application = rows[f"{prefix}application"].replace("", "no application_name")
    role, database = (rows[f"{prefix}{name}"].astype("str").fillna("?") for name in ("role", "database"))
    return application + " (" + role + "@" + database + ")"


def short(query: pd.Series) -> pd.Series:
    """A statement on one line, short enough for a sentence."""
    line = query.str.replace(r"\s+", " ", regex=True).str.strip()
    return line.where(line.str.len() <= MAX_CHARACTERS, line.str.slice(0, MAX_CHARACTERS - 1) + "…")


def number(pg_settings: pd.DataFrame, name: str) -> pd.Series:
    """The value of one setting, by instance."""
    rows = pg_settings[pg_settings.name == name].drop_duplicates("instance")
    return pd.to_numeric(rows.set_index("instance").setting)


def usable_connections(pg_settings: pd.DataFrame) -> pd.Series:
    """Usable connections, by instance: max_connections without reserved ones. Only PostgreSQL 16 and newer has the second reserve."""
    usable = number(pg_settings, "max_connections") - number(pg_settings, "superuser_reserved_connections")
    return usable - number(pg_settings, "reserved_connections").reindex(usable.index, fill_value=0)
