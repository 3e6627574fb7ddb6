"""Faults of what watches the platform."""

import time
from contextlib import contextmanager

from tests.record.specimens import specimen

INTERVAL_S = 2  # an incident of half an hour has 900 evaluations then, which the budget allows
ENOUGH_EVALUATIONS = 10


@specimen("every_alert_that_should_fire_fires", sources=("prom_rule_series",))
@contextmanager
def alert_over_its_limit(server):
    """Two alerts, in a group that may have one: Prometheus gives neither."""
    rule = {"alert": "TargetMissing", "expr": "scrape_samples_scraped > 0 or up", "labels": {"severity": "critical"}}
    server.load({"groups": [{"name": "targets", "interval": f"{INTERVAL_S}s", "limit": 1, "rules": [rule]}]})
    server.wait_for("scrape_samples_scraped > 0")
    time.sleep(INTERVAL_S * ENOUGH_EVALUATIONS)
    yield
