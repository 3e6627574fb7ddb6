"""PgBouncer before a PostgreSQL, in transaction mode."""

from dataclasses import dataclass

import psycopg

from tests.stack import postgres
from tests.stack.process import HOST, Process, free_port, new_folder, program, unprivileged_user, write_file

# A pool in good order. `start(settings=…)` overrides any of them.
SETTINGS = {
    "listen_addr": HOST,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": 10,
    "max_client_conn": 100,
    "admin_users": "postgres",
    "stats_users": "nl_forensics",
    "ignore_startup_parameters": "extra_float_digits",
}


@dataclass(kw_only=True)
class PgBouncer(Process):
    def dsn(self, user="nl_forensics", database="pgbouncer", password=None):
        """Of PgBouncer's own console by default, which answers `SHOW POOLS` and its like and nothing else."""
        password = postgres.PASSWORDS[user] if password is None else password
        return f"postgresql://{user}:{password}@{HOST}:{self.port}/{database}"

    def show(self, what, user="nl_forensics"):
        """Rows of `SHOW what` as dicts."""
        # The console knows no transactions (hence autocommit) and no prepared statements.
        with psycopg.connect(self.dsn(user), autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(f"SHOW {what}").fetchall()


def start(before, settings=None):
    """Start a pooler before a PostgreSQL server; clients sign in with the same roles and passwords as there."""
    user = unprivileged_user()
    folder = new_folder("pgbouncer", user)
    server = PgBouncer(
        command=[program("pgbouncer"), folder / "pgbouncer.ini"],
        folder=folder,
        port=free_port(),
        user=user,
    )
    values = SETTINGS | {"listen_port": server.port, "auth_file": folder / "users.txt"} | (settings or {})
    database = f"{postgres.DATABASE} = host={HOST} port={before.port} dbname={postgres.DATABASE}"
    lines = ["[databases]", database, "[pgbouncer]", *(f"{name} = {value}" for name, value in values.items())]
    write_file(folder / "pgbouncer.ini", "\n".join(lines) + "\n", user)
    roles = [f'"{role}" "{password}"\n' for role, password in postgres.PASSWORDS.items()]
    write_file(folder / "users.txt", "".join(roles), user)
    return server.start()
