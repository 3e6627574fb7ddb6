"""What faults of Redis are made with."""

import threading
from contextlib import contextmanager, suppress

import redis


@contextmanager
def meanwhile(server, work, every_s=0.2):
    """Do `work(connection)` again and again, beside the readings; each time on a new connection."""

    def once():
        with server.connect() as connection:
            work(connection)

    with repeating(once, every_s):
        yield


@contextmanager
def repeating(step, every_s):
    """Call `step()` again and again, beside everything else. That Redis refuses it ends nothing."""
    ended = threading.Event()

    def loop():
        while not ended.wait(every_s):
            with suppress(redis.RedisError):
                step()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def configure(server, **settings):
    with server.connect() as connection:
        for name, value in settings.items():
            connection.config_set(name.replace("_", "-"), value)


def fill(server, keys, size, prefix="cache"):
    """Write keys in batches, for as long as they are accepted."""
    with server.connect() as connection, suppress(redis.exceptions.OutOfMemoryError):
        for first in range(0, keys, 1000):
            with connection.pipeline(transaction=False) as batch:
                for number in range(first, min(first + 1000, keys)):
                    batch.set(f"{prefix}:{number}", "x" * size, ex=3600)
                batch.execute()
