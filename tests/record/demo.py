"""The incident that ships with the package. It is played in real time: the platform has run for a while before it begins."""

import time
from contextlib import ExitStack
from datetime import timedelta

from tests.record.access_stories import small_faults
from tests.record.postgres_sessions import busy
from tests.record.postgres_stories import UNGUARDED
from tests.record.stories import now, story
from tests.stack import billing

LASTING = timedelta(minutes=5)  # of the incident window, and of the baseline before it
BEFORE_ROLLOUT_S, BEFORE_MIGRATION_S = 60, 90
AFTER_START_S = 60  # until what began with the platform is over


@story("The API hangs, invoices can't be opened")
def demo(stage):
    """A new release of the billing service leaves a payment open. A migration waits for it, and everybody behind the migration."""
    with stage.platform(postgres_settings=UNGUARDED) as platform, ExitStack() as stuck:
        time.sleep(AFTER_START_S)
        healthy_since = now()
        time.sleep(LASTING.total_seconds())
        since = now()
        stuck.enter_context(small_faults(platform))
        time.sleep(BEFORE_ROLLOUT_S)
        platform.deploy("billing-service", release="1.5.0", environment={"NL_FAULTS": '{"open_payment": true}'})
        time.sleep(BEFORE_MIGRATION_S)
        postgres, stripe = platform.servers.postgres, platform.servers.stripe
        stuck_since = now()
        billing.catch_up(postgres, stripe, healthy_since, stuck_since)
        migration = "ALTER TABLE invoices ADD COLUMN due_on date"
        stuck.enter_context(busy(postgres, migration, application="migration"))
        time.sleep((since + LASTING - now()).total_seconds())
        billing.fall_silent(postgres, stripe, stuck_since, now())
        baseline = {"start": healthy_since.isoformat(), "end": since.isoformat()}
        stage.record(platform.environment(), since, baseline=baseline, service="api-gateway")
