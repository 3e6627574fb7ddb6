"""The link to Redis: addresses that are wrong, servers that refuse, hang or hide, and one that holds a million keys."""

import pytest

from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from tests.asking import ask, link, platform
from tests.stack import faults as wire
from tests.stack import redis as stack


def test_missing_permission():
    with stack.start("7.0", acl="resetkeys %R~* -@all +info +config|get") as server:
        opened = link("redis", server.url())
        for name in ("redis_slowlog", "redis_clients", "redis_prefixes"):
            with pytest.raises(NotAllowed):
                ask(opened, name)
        opened.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:6379", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_an_address_that_is_none(address):
    with pytest.raises(NotConfigured):
        link("redis", address)


def test_nobody_listens():
    with pytest.raises(NotReachable, match="refused"):
        link("redis", f"redis://127.0.0.1:{wire.closed_port()}/0")


def test_silent_server():
    with wire.silent() as port, pytest.raises(NotReachable):
        link("redis", f"redis://127.0.0.1:{port}/0", budget={"question_s": 1, "connect_s": 1})


def test_another_protocol():
    with wire.html() as port, pytest.raises((BadAnswer, NotReachable)):
        link("redis", f"redis://127.0.0.1:{port}/0", budget={"question_s": 1})


def test_a_million_keys():
    """Bounded in what is looked at: the rest is said. Time is given: on a busy machine the budget of seconds would end the walk."""
    # One KEYS over so many takes more than 100 ms; one SCAN of ours a few, also on a machine that is busy.
    slow = {"slowlog-log-slower-than": 100_000}
    settings = {"enable-debug-command": "yes", "maxmemory": "1gb", "appendonly": "no", "save": ""} | slow
    with stack.start("7.0", settings=settings) as server:
        with server.connect() as connection:
            connection.execute_command("DEBUG", "POPULATE", 1_000_000, "cache")
            connection.config_resetstat()
            connection.slowlog_reset()
        opened = link("redis", server.url())
        patient = platform(budget={"redis_scan_s": 60})
        heard = ask(opened, "redis_prefixes", platform_=patient)
        ask(opened, "redis_big_keys", platform_=patient)
        opened.close()
        with server.connect() as connection:
            assert connection.slowlog_len() == 0
            scans = connection.info("commandstats")["cmdstat_scan"]["calls"]
    assert heard.unseen == ["98% of the 1,000,000 keys of database 0"]
    assert heard.table["keys"].sum() >= 20_000
    assert scans <= 60  # both sources share one walk


def test_a_server_that_hides_its_configuration():
    """As managed ones do: the slow log is read all the same, but what it leaves out is not known."""
    settings = {"rename-command": 'CONFIG ""'}
    with stack.start("7.0", settings=settings, acl="resetkeys %R~* -@all +@all") as server:
        opened = link("redis", server.url())
        heard = ask(opened, "redis_slowlog")
        with pytest.raises(NotAllowed, match="hides its configuration"):
            ask(opened, "redis_settings")
        opened.close()
    assert any("hides its configuration" in unseen for unseen in heard.unseen)
