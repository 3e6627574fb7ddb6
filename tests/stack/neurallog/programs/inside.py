"""What goes on inside a service, as it tells Prometheus: garbage collection, and waiting for the database."""

import gc
import threading
import time

import psycopg
from prometheus_client import REGISTRY, Summary
from prometheus_client.core import CounterMetricFamily

from tests.stack.neurallog.programs.logs import SERVICE

STATEMENTS = Summary("database_statement_seconds", "Time waited for the database's answers", ["service", "route"])
BACKGROUND = "background"
at_work = threading.local()  # `route`: of the request that this thread answers


class Collections:
    """Seconds in which garbage was collected. A counter of prometheus_client has a lock, within which a collection may begin."""

    def __init__(self):
        self._seconds = self._began = 0.0
        gc.callbacks.append(self._told)
        REGISTRY.register(self)

    def _told(self, phase, info):
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._seconds += time.perf_counter() - self._began

    def collect(self):
        yield CounterMetricFamily("python_gc_seconds", "Time spent collecting garbage", value=self._seconds)


class TimedConnection(psycopg.Connection):
    """Every statement waits here for its answer; so do BEGIN and COMMIT, but not who opens a connection."""

    def wait(self, *arguments, **options):
        with STATEMENTS.labels(SERVICE, getattr(at_work, "route", BACKGROUND)).time():
            return super().wait(*arguments, **options)
