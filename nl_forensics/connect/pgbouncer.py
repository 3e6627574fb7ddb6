"""PgBouncer's admin console: SHOW and nothing else."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from nl_forensics.connect.local_port import LocalPort
from nl_forensics.connect.postgres import APPLICATION, asked_by, connection_refused
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, SourceError
from nl_forensics.inputs.platform import Budget, Endpoint

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

CONSOLE = "pgbouncer"  # the name of the database behind which it answers itself
FORM = "postgresql://user:password@host:6432/pgbouncer"
SHOWN = ("POOLS", "CONFIG", "STATS", "LISTS", "VERSION")


def connect(address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None) -> "PgBouncerLink":
    """Open the admin console; the address names the database `pgbouncer`."""
    if asked_by(address).get("dbname") != CONSOLE:
        raise NotConfigured("the address does not name PgBouncer's console", f"name the database {CONSOLE}: {FORM}")
    port = LocalPort(forward)
    try:
        connection = psycopg.Connection[dict[str, Any]].connect(
            address,
            autocommit=True,
            row_factory=dict_row,
            application_name=APPLICATION,
            connect_timeout=max(2, round(budget.connect_s)),
            **port.instead,
        )
        return PgBouncerLink(connection, port)
    except psycopg.OperationalError as error:
        port.close()
        raise connection_refused(str(error)) from None
    except SourceError:
        port.close()
        raise


class PgBouncerLink:
    """The admin console of one PgBouncer."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], port: LocalPort):
        self._connection, self._port = connection, port
        self.identity = {"version": next(iter(next(self.show("VERSION")).values()))}
        self.clock = None  # the console has no question for the time

    def show(self, what: str) -> Iterator[dict]:
        """The rows of one SHOW."""
        if what not in SHOWN:
            raise BadAnswer(f"refused to send SHOW {what}: only {', '.join(SHOWN)} are asked")
        try:
            with self._connection.cursor() as cursor:
                yield from cursor.execute(f"SHOW {what}", prepare=False)
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotAllowed(str(error), "add the user to stats_users in pgbouncer.ini") from None
        except psycopg.Error as error:
            raise connection_refused(str(error)) from None

    def close(self) -> None:
        self._connection.close()
        self._port.close()
