"""Switches that make a service fail, as services do. Given at start by NL_FAULTS, or later by POST /faults.

latency_ms          every answer is so much slower, those to probes as well
cpu_ms              every answer takes so much time of a core, those to probes as well
error_ratio         this share of the requests is answered with 500
unready             /health says 503, so the pod gets no traffic
deadlocked          /health/live says 503, so the kubelet restarts the container
stalled             what the service does in the background stands still
leak_bytes_per_s    memory that is never given back
series_per_s        metrics with a label that is new each time, 8,000 of them at most
burning             one core is busy with nothing
open_payment        the billing-service marks an invoice as paid, and leaves the transaction open
leaked_connections  so many database connections are taken and kept, with a transaction open
noise_per_s         so many lines of errors a second, of something that harms nobody
keys_kept           the auth-service never reads the keys of the issuer again
exit_code           the process ends with it
"""

import json
import os
import random
import threading
import time

import prometheus_client

from tests.stack.neurallog.programs.logs import log

NAMES = frozenset(line.split()[0] for line in __doc__.split("\n\n")[1].splitlines())
TICK_S = 0.1
MAX_SERIES = 8_000
SEEN = prometheus_client.Gauge("request_seen", "When a request was seen, by its number", ["request_id"])


class UnknownFault(ValueError):
    """There is no such switch."""


class Faults:
    def __init__(self):
        self._set = {}
        self._leaked = []
        self._series = 0
        self.set(json.loads(os.environ.get("NL_FAULTS", "{}")))
        threading.Thread(target=self._work, daemon=True).start()
        threading.Thread(target=self._make_noise, daemon=True).start()

    def set(self, switches):
        """Set some switches; a value of null, 0 or false takes one back."""
        if unknown := switches.keys() - NAMES:
            raise UnknownFault(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(NAMES))}")
        self._set.update(switches)
        if code := self._set.get("exit_code"):
            log("fatal", "unexpected end of the main loop", exit_code=code)
            os._exit(code)

    def __getitem__(self, name):
        return self._set.get(name) or 0

    def delay(self):
        time.sleep(self["latency_ms"] / 1000)
        until = time.thread_time() + self["cpu_ms"] / 1000
        while time.thread_time() < until:
            pass

    def strikes(self):
        """Whether this request is one of those that fail."""
        return random.random() < self["error_ratio"]

    def _make_noise(self):
        while True:
            if rate := self["noise_per_s"]:
                log(
                    "error",
                    f"receipt for tenant={random.randint(1, 20)} bounced, tried again tomorrow",
                    error="MailboxFull",
                )
            time.sleep(1 / rate if rate else TICK_S)

    def _work(self):
        while True:
            if size := int(self["leak_bytes_per_s"] * TICK_S):
                self._leaked.append(b"\xff" * size)
            self._add_series(int(self["series_per_s"] * TICK_S))
            if self["burning"]:
                sum(range(1_000_000))
            else:
                time.sleep(TICK_S)

    def _add_series(self, more):
        for number in range(self._series, min(self._series + more, MAX_SERIES)):
            SEEN.labels(f"{number:08x}").set(time.time())
            self._series = number + 1
