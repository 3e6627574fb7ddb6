"""PostgreSQL 13 to 18, with the platform's database, its roles, and pg_stat_statements."""

import fcntl
import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from nl_forensics import permissions
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from tests.stack.process import (
    HOST,
    MissingServer,
    Process,
    cache_folder,
    free_port,
    new_folder,
    run,
    unprivileged_user,
    write_file,
)

VERSIONS = ("13", "14", "15", "16", "17", "18")
DEBIAN_VERSION = "15"  # whole: with pg_basebackup and psql; the others have initdb, pg_ctl and postgres only
DATABASE = "neurallog"
SCHEMA = Path(__file__).with_name("schema.sql")

# Every role has to give its password: authentication is scram-sha-256.
PASSWORDS = {
    "postgres": "postgres-test-password",
    "app": "app-test-password",
    "nl_forensics": "nl_forensics-test-password",
    "exporter": "exporter-test-password",
    "replicator": "replicator-test-password",
}
ROLES = (
    "CREATE ROLE app LOGIN",
    "CREATE ROLE nl_forensics LOGIN CONNECTION LIMIT 5",
    *permissions.postgres_grants(),
    "CREATE ROLE exporter LOGIN CONNECTION LIMIT 5",
    "GRANT pg_monitor TO exporter",
    "CREATE ROLE replicator LOGIN REPLICATION",
)
# On the tables of the platform file.
TABLE_GRANTS = permissions.table_grants(Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml"))))

# A server in good order, so that a story shows its own fault only. `start(settings=…)` overrides any of them.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": 50,
    "shared_buffers": "64MB",
    "shared_preload_libraries": "pg_stat_statements",
    "track_io_timing": "on",
    "log_lock_waits": "on",
    "log_checkpoints": "on",
    "statement_timeout": "60s",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "5min",
    "max_slot_wal_keep_size": "1GB",
}
SETTINGS_SINCE = {14: {"client_connection_check_interval": "10s"}, 17: {"transaction_timeout": "10min"}}


@dataclass(kw_only=True)
class Postgres(Process):
    """`settings` are those that differ from SETTINGS; to change one later: `ALTER SYSTEM`, then reload or `restart()`."""

    version: str
    settings: dict = field(default_factory=dict)

    def dsn(self, user="nl_forensics", database=DATABASE, password=None, **parameters):
        """Connection string with the role's password; another `password` is for a test of a wrong one."""
        password = PASSWORDS[user] if password is None else password
        words = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
        return f"postgresql://{user}:{quote(password)}@{HOST}:{self.port}/{database}" + (f"?{words}" if words else "")

    def connect(self, user="postgres", database=DATABASE, **parameters):
        """A session of `user`, each statement its own transaction."""
        return psycopg.connect(self.dsn(user, database, connect_timeout=10, **parameters), autocommit=True)

    def execute(self, sql, user="postgres", database=DATABASE):
        """Run SQL in a session of its own and return the rows, if there are any."""
        with self.connect(user, database) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def answers(self):
        try:
            self.connect(database="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def programs(version):
    """The folder of a version's programs."""
    if version == DEBIAN_VERSION:
        folder = Path(f"/usr/lib/postgresql/{version}/bin")
    else:
        folder = cache_folder() / f"pg{version}/node_modules/pg{version}/native/bin"
    if not (folder / "postgres").exists():
        raise MissingServer(f"PostgreSQL {version}")
    return folder


def start(version=DEBIAN_VERSION, settings=None, monitor=True, environment=None):
    """Start a server on a copy of the prepared data folder; without `monitor`, nl_forensics is a plain role."""
    server = _server(version, settings, environment=environment)
    run(["cp", "-a", "--reflink=auto", prepared_data(version), server.folder / "data"])
    _write_settings(server)
    server.start()
    if not monitor:
        server.execute("REVOKE pg_monitor FROM nl_forensics")
    return server


def replica(of, settings=None, name="replica_1"):
    """Start a streaming replica of a server; `name` is that of its replication slot and of its session there."""
    if of.version != DEBIAN_VERSION:
        raise ValueError(f"pg_basebackup is there for PostgreSQL {DEBIAN_VERSION} only, not for {of.version}")
    # With the primary's settings: a replica refuses to start with a smaller max_connections than there.
    server = _server(of.version, of.settings | (settings or {}), name="replica", environment=of.environment)
    backup = programs(of.version) / "pg_basebackup"
    source = of.dsn("replicator", "postgres", application_name=name)
    options = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--create-slot", f"--slot={name}"]
    run([backup, f"--dbname={source}", f"--pgdata={server.folder / 'data'}", *options], user=server.user)
    _write_settings(server)
    server.start()
    return server


def _server(version, settings=None, name="postgres", environment=None):
    user = unprivileged_user()
    folder = new_folder(f"{name}-{version}", user)
    return Postgres(
        version=version,
        settings=settings or {},
        environment=environment or {},
        command=[programs(version) / "postgres", "-D", folder / "data"],
        folder=folder,
        port=free_port(),
        user=user,
        stop_signal="SIGINT",  # "fast": open sessions are ended, data are written
    )


def _write_settings(server):
    values = dict(SETTINGS)
    for since, newer in SETTINGS_SINCE.items():
        values |= newer if int(server.version) >= since else {}
    values |= {"port": server.port} | server.settings
    lines = [f"{name} = '{value}'\n" for name, value in values.items()]
    write_file(server.folder / "data/server.conf", "".join(lines), server.user)


def prepared_data(version):
    """A data folder with roles and tables, made once per version and then copied: a start takes less than a second."""
    parts = ROLES, TABLE_GRANTS, PASSWORDS, SCHEMA.read_text()
    recipe = repr((run([programs(version) / "postgres", "--version"]), *parts))
    prepared = cache_folder() / f"pg{version}-data-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / f"pg{version}-data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at the same time
        if not prepared.exists():
            _prepare_data(version, prepared)
    return prepared


def _prepare_data(version, prepared):
    server = _server(version, {"fsync": "off"})
    data = server.folder / "data"
    password_file = server.folder / "password"
    write_file(password_file, PASSWORDS["postgres"], server.user)
    options = ["--auth=scram-sha-256", "--locale=C.UTF-8", "--data-checksums", "--no-sync", "--username=postgres"]
    run([programs(version) / "initdb", f"--pgdata={data}", f"--pwfile={password_file}", *options], user=server.user)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write("include 'server.conf'\n")
    _write_settings(server)
    with server.start():
        _create_database(server)
        server.stop()
        (data / "server.conf").unlink()
        # Two steps, so that a killed run leaves no half prepared folder under the name that is looked for.
        unfinished = prepared.with_name(f"{prepared.name}-{uuid.uuid4().hex}")
        run(["cp", "-a", data, unfinished])
        unfinished.rename(prepared)


def _create_database(server):
    for statement in ROLES:
        server.execute(statement, database="postgres")
    for role, password in PASSWORDS.items():
        server.execute(f"ALTER ROLE {role} PASSWORD '{password}'", database="postgres")
    server.execute(f"CREATE DATABASE {DATABASE} OWNER app", database="postgres")
    server.execute("CREATE EXTENSION pg_stat_statements", database="postgres")
    server.execute(SCHEMA.read_text())
    for grant in TABLE_GRANTS:
        server.execute(grant)
    # The counters shall tell of what a test does, not of how its data were made.
    for database in ("postgres", DATABASE):
        server.execute("SELECT pg_stat_reset()", database=database)
        server.execute("VACUUM ANALYZE", database=database)
    server.execute("SELECT pg_stat_statements_reset()")
