"""Customers of the small NeuralLog: a few requests a second, through the gateway's service address, for a bounded time."""

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager

import requests

LEVELS = ("debug", "info", "info", "info", "warn", "error")
TIMEOUT_S = 5


class Traffic:
    """What the customers saw: how many answers of each status, 0 for none."""

    def __init__(self):
        self.statuses = Counter()
        self.stopped = threading.Event()


@contextmanager
def traffic(gateway_url, api_keys, per_second=10, lasting_s=600, customers=4):
    """Send requests until the end of `with`, or for `lasting_s` at most: most send lines, some read them, few look at their bill."""
    running = Traffic()
    until = time.monotonic() + lasting_s

    def behave():
        session = requests.Session()
        session.trust_env = False
        while time.monotonic() < until and not running.stopped.wait(customers / per_second):
            running.statuses[_request(session, gateway_url, random.choice(api_keys))] += 1

    threads = [threading.Thread(target=behave, daemon=True) for _ in range(customers)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stopped.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


def _request(session, url, key):
    headers = {"X-Api-Key": key}
    what = random.random()
    try:
        if what < 1 / 3:
            read = "invoices" if what < 1 / 20 else "logs"
            return session.get(f"{url}/v1/{read}", headers=headers, timeout=TIMEOUT_S).status_code
        lines = [{"level": random.choice(LEVELS), "message": f"step {n} took {n * 7} ms"} for n in range(5)]
        return session.post(f"{url}/v1/logs", headers=headers, json={"lines": lines}, timeout=TIMEOUT_S).status_code
    except requests.RequestException:
        return 0
