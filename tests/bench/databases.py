"""A live run on databases that are full."""

import tempfile
from pathlib import Path

from tests.bench.measure import parameters, tell, watched
from tests.stack import postgres, redis
from tests.stack.stack import stack

STATEMENTS, KEYS = 5_000, 1_000_000


def live_run() -> None:
    with stack() as running, tempfile.TemporaryDirectory() as folder:
        _fill(running.postgres, running.redis)
        running.postgres.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        first, whole, peak = watched(["findings", parameters(Path(folder))], running.environment())
        tell("first finding of a live run", f"{first:.2f} s", "≤ 5 s")
        tell("whole collection", f"{whole:.2f} s", "≤ 20 s")
        tell(f"its memory, {STATEMENTS:,} statements and {KEYS:,} Redis keys", f"{peak:.0f} MiB", "≤ 300 MB")


def _fill(server: postgres.Postgres, cache: redis.Redis) -> None:
    server.execute("SELECT pg_stat_statements_reset()")
    with server.connect() as session:
        for number in range(STATEMENTS):
            session.execute(f"SELECT {', '.join(f'{n} AS c{number}_{n}' for n in range(3))}")
    with cache.connect() as connection:
        for begin in range(0, KEYS, 10_000):
            pipe = connection.pipeline(transaction=False)
            for number in range(begin, begin + 10_000):
                pipe.set(f"session:{number}", "x", ex=3600)
            pipe.execute()
