"""Systems that are reached through the API server."""

import pytest

from tests.connect.forwarding import reached_through
from tests.kept import kept


@pytest.fixture(scope="module")
def reached(real_cluster, tmp_path_factory):
    return kept("reached", lambda: reached_through(real_cluster, tmp_path_factory.mktemp("certificates")))


@pytest.fixture(scope="module")
def inside(reached):
    """The cluster."""
    return reached.cluster


@pytest.fixture(scope="module")
def servers(reached):
    """Real ones, on this machine: the test can reach them directly, too."""
    return reached.servers


@pytest.fixture(scope="module")
def addresses(servers):
    of = {"postgres": "dsn", "pgbouncer": "dsn", "redis": "url"}
    return {name: getattr(one, of[name])() if name in of else one.url for name, one in servers.items()}


@pytest.fixture(scope="module")
def authority(reached):
    return reached.authority
