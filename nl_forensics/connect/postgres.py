"""PostgreSQL: one read-only session with short timeouts that proves its settings, and refuses to be a superuser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from nl_forensics.connect import measured_clock
from nl_forensics.connect.local_port import LocalPort
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable, SourceError
from nl_forensics.inputs.platform import Budget, PostgresEndpoint

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

APPLICATION = "nl_forensics"
READS = ("SELECT", "WITH", "SHOW")
MAX_DATABASES = 20
CREDENTIALS = "check the user and the password in the environment variable of this endpoint"
SERVER_SAYS = (  # (words of the server or of libpq, what it is, what to do)
    ("too many clients", NotReachable, "free connections: see the findings about connections"),
    ("remaining connection slots are reserved", NotReachable, "free connections: see the findings about connections"),
    (
        "too many connections for role",
        NotAllowed,
        "another run uses this role: wait for it, or raise its CONNECTION LIMIT",
    ),
    ("authentication failed", NotAllowed, CREDENTIALS),
    ("no password supplied", NotAllowed, CREDENTIALS),
    ("no pg_hba.conf entry", NotAllowed, "add a line for this role and host to pg_hba.conf"),
    ("permission denied for database", NotAllowed, "GRANT CONNECT ON DATABASE … TO the role"),
    (
        "does not support SSL, but SSL was required",
        NotConfigured,
        "check sslmode, switch TLS on in the server, or set allow_cleartext: true for this instance in the platform file",
    ),
    ("SSL SYSCALL", NotReachable, "see whether the server runs"),
    ("received invalid response", BadAnswer, "check the address: something else than PostgreSQL listens there"),
    ("expected authentication request", BadAnswer, "check the address: something else than PostgreSQL listens there"),
    ("certificate", BadAnswer, "check sslmode and sslrootcert in the address, and the certificate of the server"),
    ("SSL", BadAnswer, "check sslmode in the address, and whether the server offers TLS"),
    ("unsupported startup parameter", NotConfigured, "give the address of PostgreSQL itself, not of the pooler"),
    ("does not exist", NotAllowed, "check the names of the role and of the database in the address"),
    ("timeout expired", NotReachable, ""),
)


def settings(budget: Budget) -> dict[str, str]:
    """What every session of ours runs under; read back after connecting."""
    return {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{int(budget.question_s * 800)}ms",
        "lock_timeout": "100ms",
        "idle_in_transaction_session_timeout": "10s",
        "work_mem": "4MB",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        "search_path": "pg_catalog",
        "TimeZone": "UTC",
        "DateStyle": "ISO",
    }


def connect(
    address: str, endpoint: PostgresEndpoint, budget: Budget, forward: "Forward | None" = None
) -> "PostgresLink":
    """Open the session of one instance."""
    port = LocalPort(forward)
    try:
        return PostgresLink(_connection(address, budget, settings(budget), port), address, endpoint, budget, port)
    except SourceError:
        port.close()
        raise


def _connection(
    address: str, budget: Budget, set_up: dict[str, str], port: LocalPort
) -> psycopg.Connection[dict[str, Any]]:
    asked = asked_by(address)
    if port.forward and "," in str(asked.get("host", "")):
        raise NotConfigured("the address names several hosts, and a port-forward leads to one", "name one host")
    options = " ".join(f"-c {name}={value}" for name, value in set_up.items())
    ours: dict[str, str | int] = {
        "application_name": APPLICATION,
        "connect_timeout": max(2, round(budget.connect_s)),
        "tcp_user_timeout": int(budget.question_s * 1000),
        "options": f"{asked.get('options', '')} {options}".strip(),
    }
    try:
        return psycopg.connect(
            make_conninfo(address, **ours | port.instead),
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,
        )
    except psycopg.OperationalError as error:
        raise port.failure or connection_refused(str(error)) from None


def asked_by(address: str) -> dict[str, Any]:
    """The parts of an address. What can't be read is not repeated: it may be a password in the wrong place."""
    form = "postgresql://user:password@host:5432/database"
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise NotConfigured("the address is not a PostgreSQL address", form) from None
    if not str(parts.get("port") or 5432).replace(",", "").isdigit():
        raise NotConfigured("the port in the address is not a number", form)
    return parts


def connection_refused(text: str) -> SourceError:
    said = " ".join(text.split())
    for words, kind, remedy in SERVER_SAYS:
        if words in said:
            return kind(said, remedy)
    return NotReachable(said, "check the address, the network, and whether the server runs")


class PostgresLink:
    """A read-only session. `version` is server_version_num (170004); `database` is the connected one."""

    def __init__(
        self,
        connection: psycopg.Connection[dict[str, Any]],
        address: str,
        endpoint: PostgresEndpoint,
        budget: Budget,
        port: LocalPort,
    ):
        self._connection, self._address, self._endpoint, self._budget = connection, address, endpoint, budget
        self._port = port
        connection.adapters.register_loader("numeric", _Number)
        self.version = connection.info.server_version
        self.database = connection.info.dbname
        self._prove_settings()
        me = next(
            self.rows("SELECT current_user AS role, rolsuper AS superuser FROM pg_roles WHERE rolname = current_user")
        )
        if me["superuser"] and not endpoint.allow_superuser:
            connection.close()
            raise NotAllowed(
                f"{me['role']} is a superuser: a read-only session does not bind one",
                "connect as a role with pg_monitor only, or set allow_superuser: true in the platform file",
            )
        self.identity = {"version": connection.info.parameter_status("server_version"), "database": self.database} | me
        self.clock = measured_clock(lambda: next(self.rows("SELECT clock_timestamp() AS now"))["now"].astimezone(UTC))

    def _prove_settings(self) -> None:
        wanted = settings(self._budget)
        found = {name: next(self.rows("SELECT current_setting(%s) AS value", [name]))["value"] for name in wanted}
        if unlike := sorted(name for name in wanted if _plain(found[name]) != _plain(wanted[name])):
            raise NotAllowed(
                f"the session did not take our {', '.join(unlike)}: a pooler is in between, or the role is barred from setting it",
                "give the address of PostgreSQL itself, not of the pooler",
            )

    def rows(
        self, sql: str, parameters: list | dict | None = None, names: Mapping[str, tuple[str, ...]] | None = None
    ) -> Iterator[dict]:
        """The rows of one statement that only reads, each a dict, as they arrive.

        names   {placeholder: name, in parts}: `{usage}` in the statement becomes `"public"."usage_records"`

        Raises NotAllowed, NotReachable or BadAnswer.
        """
        if not sql.lstrip().upper().startswith(READS):
            raise BadAnswer(f"refused to send a statement that does not begin with {' or '.join(READS)}")
        try:
            with self._connection.cursor() as cursor:
                query = _composed(sql, names) if names else sql
                stream = cursor.stream(query, parameters) if parameters else cursor.stream(query)
                # One row ahead: a caller that takes the only row and leaves must not make the driver cancel the statement.
                row = next(stream, None)
                while row is not None:
                    following = next(stream, None)
                    yield row
                    row = following
        except psycopg.Error as error:
            raise _statement_failed(error) from None

    def as_configured(self, sql: str, parameters: list) -> list[dict]:
        """The rows of one statement in a session of its own without our timeouts, so that it sees those of the server."""
        if not sql.lstrip().upper().startswith(READS):
            raise BadAnswer(f"refused to send a statement that does not begin with {' or '.join(READS)}")
        set_up = {name: value for name, value in settings(self._budget).items() if not name.endswith("_timeout")}
        with _connection(make_conninfo(self._address, options=""), self._budget, set_up, self._port) as connection:
            try:
                return connection.execute(sql, parameters).fetchall()
            except psycopg.Error as error:
                raise _statement_failed(error) from None

    @property
    def databases(self) -> list[str]:
        """The databases to read: those of the platform file, else all that we may connect to, largest first."""
        if self._endpoint.databases:
            return list(self._endpoint.databases)
        rows = self.rows(
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
            " ORDER BY datname = 'postgres', pg_database_size(oid) DESC, datname"
            if self._may_size_databases()
            else "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
        )
        return [row["datname"] for row in rows][:MAX_DATABASES]

    def _may_size_databases(self) -> bool:
        return next(self.rows("SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS may"))["may"]

    @contextmanager
    def into(self, database: str) -> Iterator["PostgresLink"]:
        """A link to another database of the same server; this one where it is already connected to it."""
        if database == self.database:
            yield self
            return
        address = make_conninfo(self._address, dbname=database)
        link = connect(address, self._endpoint, self._budget, self._port.forward)
        try:
            yield link
        finally:
            link.close()

    def close(self) -> None:
        self._connection.close()
        self._port.close()


def _composed(sql: str, names: Mapping[str, tuple[str, ...]]) -> compose.Composed:
    """The statement with its names put in, quoted."""
    return compose.SQL(sql).format(**{name: compose.Identifier(*parts) for name, parts in names.items()})


def _plain(setting: str) -> str:
    """`8000ms` and `8s`, `ISO` and `ISO, MDY` are the same."""
    amount = setting.removesuffix("ms")
    return (
        f"{int(amount) // 1000}s"
        if amount.isdigit() and amount != setting and int(amount) % 1000 == 0
        else setting.split(",")[0]
    )


class _Number(psycopg.adapt.Loader):
    """numeric as a JSON number."""

    def load(self, data):
        value = Decimal(bytes(data).decode())
        return int(value) if value == value.to_integral_value() else float(value)


def _statement_failed(error: psycopg.Error) -> SourceError:
    said = " ".join(str(error.diag.message_primary or error).split())
    if isinstance(error, errors.InsufficientPrivilege):
        return NotAllowed(said)
    if isinstance(error, errors.LockNotAvailable):
        return NotReachable(f"a table is exclusively locked, so its size can't be read: {said}", "see the lock tree")
    if isinstance(error, errors.QueryCanceled | psycopg.OperationalError):
        return NotReachable(said)
    return BadAnswer(said)
