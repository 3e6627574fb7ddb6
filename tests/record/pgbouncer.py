"""Faults of PgBouncer. Each is given a PgBouncer of its own, before a PostgreSQL of its own."""

import time
from contextlib import ExitStack, contextmanager

import psycopg

from tests.record.specimens import specimen
from tests.stack.postgres import DATABASE


def set_up(server, **settings):
    """Change settings in the console, as an administrator does."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as console:
        for name, value in settings.items():
            console.execute(f"SET {name} = {value}")


def client(server):
    """A session of the application through the pool."""
    return psycopg.connect(server.dsn("app", DATABASE), autocommit=True, prepare_threshold=None)


@specimen("no_client_waits_for_a_pool", sources=("pgbouncer_pools",))
@contextmanager
def pool_too_small(server):
    """One connection, which a transaction keeps, and two clients who wait for it."""
    set_up(server, default_pool_size=1)
    holder, *waiting = (client(server) for _ in range(3))
    holder.execute("BEGIN")
    for one in waiting:
        one.pgconn.send_query(b"SELECT count(*) FROM payments")
    time.sleep(1.2)
    yield
    for one in (*waiting, holder):
        one.close()


@specimen("pgbouncer_has_room_for_clients", sources=("pgbouncer_lists", "pgbouncer_settings"))
@contextmanager
def few_clients_more(server):
    """Nine of ten clients are there."""
    set_up(server, max_client_conn=10)
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(client(server))
        yield
