"""Incidents of which little or nothing can be seen: what could not be asked must never look like health."""

import time

from nl_forensics import permissions
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import DNS, KUBERNETES, PROBE, story
from tests.stack import postgres, redis
from tests.stack.kubernetes.cluster import cluster
from tests.stack.load import load

TOKEN_CACHE_S = 11  # of the API server


@story("Nothing is wrong, as far as can be seen")
def partial(stage):
    """A healthy platform, asked by a role without pg_monitor; one database lets nobody in, and the slow log is short."""
    settings = {"slowlog-log-slower-than": 50, "slowlog-max-len": 5}  # microseconds: every SCAN pushes an older one out
    with stage.servers(redis_settings=settings) as servers, load(servers.pgbouncer, servers.redis):
        servers.postgres.execute("CREATE DATABASE archive", database="postgres")
        servers.postgres.execute("REVOKE CONNECT ON DATABASE archive FROM PUBLIC", database="postgres")
        servers.postgres.execute("REVOKE pg_monitor FROM nl_forensics", database="postgres")
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("Nobody can tell")
def blind(stage):
    """The passwords are those of last year, the account was removed, and nobody told us the other addresses."""
    with postgres.start() as database, redis.start() as cache, cluster() as nodes:
        old = "of-last-year"
        kubeconfig = nodes.kubeconfig("left", permissions.kubernetes_rules())
        nodes.revoke("left")
        time.sleep(TOKEN_CACHE_S)
        addresses = {"NL_POSTGRES_DSN": database.dsn(password=old), "NL_REDIS_URL": cache.url(password=old)}
        stage.record(addresses | {KUBERNETES: str(kubeconfig), PROBE: "", DNS: ""})
