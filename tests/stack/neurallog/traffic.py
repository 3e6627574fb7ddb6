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
def traffic(gateway_url, api_keys, new_token=None, per_second=10, lasting_s=600, customers=4):
    """Send requests until the end of `with`, or for `lasting_s` at most: most send lines, some read them, few look at their bill.

    new_token   makes a token; every second customer has one instead of an API key, and a new one for each request
    """
    running = Traffic()
    until = time.monotonic() + lasting_s

    def behave(number):
        session = requests.Session()
        session.trust_env = False
        while time.monotonic() < until and not running.stopped.wait(customers / per_second):
            with_token = new_token and number % 2
            credential = (
                {"Authorization": f"Bearer {new_token()}"} if with_token else {"X-Api-Key": random.choice(api_keys)}
            )
            headers = credential | {"X-Forwarded-For": address_of(number)}
            running.statuses[_request(session, gateway_url, headers)] += 1

    threads = [threading.Thread(target=behave, args=[number], daemon=True) for number in range(customers)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stopped.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


def address_of(number):
    """Where a customer is: an address that is reserved for documentation, so that it is nobody's."""
    return f"203.0.113.{10 + number}"


def _request(session, url, headers):
    what = random.random()
    try:
        if what < 1 / 3:
            read = "invoices" if what < 1 / 20 else "logs"
            return session.get(f"{url}/v1/{read}", headers=headers, timeout=TIMEOUT_S).status_code
        lines = [{"level": random.choice(LEVELS), "message": f"step {n} took {n * 7} ms"} for n in range(5)]
        return session.post(f"{url}/v1/logs", headers=headers, json={"lines": lines}, timeout=TIMEOUT_S).status_code
    except requests.RequestException:
        return 0
