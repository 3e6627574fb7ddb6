"""What many tests share: a home of their own, and servers that nobody changes."""

import gc
import os
import shutil
import signal
import tempfile
import threading
from collections import defaultdict

import pytest
from xdist.scheduler import LoadFileScheduling

from tests import kept, marks
from tests.recorded import UNPACKED
from tests.stack import pgbouncer, postgres, process, prometheus, redis
from tests.stack.kubernetes.cluster import cluster
from tests.stack.process import NO_SERVER

# One worker has all tests on a cluster, and has them first, those on the same one together: two whole Kubernetes at a time would keep the
# machine from all else. Of the other files, those that take longest come first: begun last, they would be waited for.
CLUSTERS = ("fake_cluster", "real_cluster", "shop")
LONGEST = (
    "test_charts",
    "test_case",
    "test_stories",
    "test_stack",
    "test_alerting",
    "test_specimens",
    "test_postgres_tables",
    "test_collect",
    "test_secrets",
    "test_readme",
    "test_notebooks",
    "test_postgres_sessions",
)

# A shell that starts us in the background has us ignore Ctrl-C, and so would every program that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Stories are unpacked once for all workers, which inherit our environment."""
    for name, meaning in marks.MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if not hasattr(config, "workerinput"):
        os.environ[UNPACKED] = tempfile.mkdtemp(prefix="nl-stories-", dir=process.in_memory())
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(UNPACKED), ignore_errors=True))


def pytest_itemcollected(item):
    mark = marks.mark_of(item)
    item.add_marker(mark)
    if mark == marks.CLUSTER:
        item.add_marker(pytest.mark.xdist_group(mark))


fixtures_of_file = defaultdict(set)
ENDS_WITHIN_S = 5


def pytest_collection_modifyitems(items):
    """Workers take one file after the other in this order."""
    for item in items:
        if item.get_closest_marker(marks.CLUSTER):
            fixtures_of_file[item.path].update(item.fixturenames)
    items.sort(key=_place)


def _place(item):
    if item.get_closest_marker(marks.CLUSTER):
        used = fixtures_of_file[item.path]
        return 0, next((number for number, name in enumerate(CLUSTERS) if name in used), len(CLUSTERS))
    return 1, LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)


class FileByFile(LoadFileScheduling):
    """Each file is one worker's; all tests on a cluster are one's together: `--dist loadgroup` adds `@cluster` to their names."""

    def _split_scope(self, nodeid):
        group = nodeid.rpartition("@")[2]
        return group if group == marks.CLUSTER else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return FileByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem):
    """What the next file does not use ends with this one."""
    kept.end_all_but(fixtures_of_file[nextitem.path] if nextitem and nextitem.get_closest_marker(marks.CLUSTER) else ())


@pytest.fixture(scope="module")
def fake_cluster():
    """A node that runs nothing, and an audit log. Each file has namespaces and users of its own."""
    return kept.kept("fake_cluster", lambda: cluster(nodes=1, audit=True))


@pytest.fixture(scope="module")
def real_cluster():
    """A node that runs containers, three that run nothing, the metrics server, and an audit log; to be shared like the other."""
    return kept.kept("real_cluster", lambda: cluster(nodes=3, real_node=True, metrics=True, audit=True))


@pytest.fixture(scope="module", autouse=True)
def no_thread_goes_on():
    """What a file's tests began ends with them: a server whose socket is closed spins, and all tests after it are slow."""
    before = set(threading.enumerate())
    yield
    gc.collect()  # closes what only an exception still knows
    left = set(threading.enumerate()) - before - kept.threads()
    for thread in left:
        thread.join(ENDS_WITHIN_S)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture(autouse=True)
def fast_tests_start_no_server(request, monkeypatch):
    """A test that is marked `fast` by mistake would be missing where servers are, and would need one where none is."""
    if request.node.get_closest_marker(marks.FAST):
        monkeypatch.setenv(NO_SERVER, "1")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """The pseudonym key and the vault of the tests, never those of whoever runs them."""
    before = os.environ.get("NL_FORENSICS_HOME")
    os.environ["NL_FORENSICS_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("NL_FORENSICS_HOME")
    if before is not None:
        os.environ["NL_FORENSICS_HOME"] = before


@pytest.fixture(scope="session")
def postgres_server():
    """To be looked at only: who changes a server starts one of their own."""
    with postgres.start() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer_server(postgres_server):
    with pgbouncer.start(postgres_server) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server():
    with redis.start() as server:
        yield server


@pytest.fixture(scope="session")
def prometheus_server():
    with prometheus.start() as server:
        yield server


@pytest.fixture(scope="session")
def four_systems(postgres_server, pgbouncer_server, redis_server, prometheus_server):
    """The addresses of one healthy instance of each system."""
    return {
        "postgres": {"main": postgres_server.dsn()},
        "pgbouncer": {"main": pgbouncer_server.dsn()},
        "redis": {"main": redis_server.url()},
        "prometheus": {"main": prometheus_server.url},
    }
