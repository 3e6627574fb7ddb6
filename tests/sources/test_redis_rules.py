"""Redis without a server: what stands for a key and a command, and the false alarms that its rules avoid."""

import pandas as pd
import pytest

from nl_forensics.inputs.platform import RedisNames
from nl_forensics.sources.redis.names import command_and_pattern, kind, pattern
from tests.asking import offenders

NAMES = RedisNames.model_validate(
    {
        "queues": [{"key": "log_queue", "instance": "main"}],
        "precious": ["log_queue", "usage:*"],
        "cache": ["cache:*"],
    }
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("usage:4711:2026112310", "usage:*"),
        ("log_queue", "log_queue"),
        ("cache:dashboard:12:3", "cache:*"),
        ("session:alice", "session:*"),
        ("app:session:8f3e77:data", "app:session:*"),
        ("customer:jane.doe@example.com", "customer:*"),
        ("8f3e77aa-0c2e-4a7b-9d53", "*"),
        ("leaderboard", "leaderboard"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "*"),
        ("aXlkjsdfLKJSDFlkjsdflkjsdfLKJSDF", "*"),
        ("", "*"),
        ("\udcff\udcfe:1", "*"),
        ("*", "*"),
    ],
)
def test_pattern(key, expected):
    assert pattern(key, NAMES) == expected


def test_kind():
    assert [kind(key, NAMES) for key in ("log_queue", "usage:1", "cache:1", "session:1")] == [
        "queue",
        "precious",
        "cache",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["HGETALL", "usage:4711:2026112310"], "HGETALL usage:*"),
        (["set", "session:1", "a secret value"], "SET session:*"),
        (["KEYS", "usage:*"], "KEYS usage:*"),
        (["KEYS", "*"], "KEYS *"),
        (["AUTH", "nl_forensics", "password"], "AUTH"),
        (["CONFIG", "SET", "requirepass", "password"], "CONFIG SET"),
        (["CLIENT", "LIST"], "CLIENT LIST"),
        (["EVAL", "return redis.call('get', KEYS[1])", "1", "usage:1", "value"], "EVAL usage:*"),
        (["EVAL", "return ARGV[1]", "0", "leaderboard"], "EVAL"),
        (
            ["XREADGROUP", "GROUP", "billing", "worker", "COUNT", "10", "STREAMS", "events:7", ">"],
            "XREADGROUP events:*",
        ),
        (["MEMORY", "USAGE", "usage:1"], "MEMORY USAGE usage:*"),
        (["LMPOP", "2", "log_queue", "other", "LEFT"], "LMPOP log_queue"),
        (["MIGRATE", "10.0.0.7", "6379", "cache:1", "0", "100"], "MIGRATE cache:*"),
        (["PING"], "PING"),
        (["GET / HTTP/1.1"], "*"),
    ],
)
def test_command_and_pattern(arguments, expected):
    assert command_and_pattern(arguments, NAMES) == expected


def test_errors_of_client_libraries_are_no_alarm():
    """redis-py introduces itself with CLIENT SETINFO, which servers before 7.2 answer with ERR, with each connection."""
    rows = pd.DataFrame({"error": ["ERR", "NOSCRIPT"], "answers": [900, 5], "answers_delta": [40, 5], "seconds": 5.0})
    assert offenders("redis_answers_without_errors", rows).empty


def test_few_lookups_say_nothing():
    rows = pd.DataFrame({"hits_delta": [2], "misses_delta": [30], "seconds": [5.0]})
    assert offenders("lookups_find_their_key", rows).empty


def test_without_maxmemory_there_is_no_limit_to_be_near():
    rows = pd.DataFrame({"used_bytes": [10], "not_counted_bytes": [0], "limit_bytes": [0]})
    assert offenders("redis_memory_is_below_its_limit", rows).empty


@pytest.mark.parametrize(
    ("policy", "with_ttl", "evicted", "expected"),
    [
        ("noeviction", 0, 0, []),
        ("volatile-lru", 0, 0, []),  # keys without time to live are out of its reach
        ("volatile-lru", 3, 0, ["medium"]),
        ("allkeys-lru", 0, 0, ["medium"]),
        ("allkeys-lru", 0, 9, ["high"]),
    ],
)
def test_what_a_policy_can_evict(policy, with_ttl, evicted, expected):
    precious = pd.DataFrame(
        {"key": ["usage:*"], "policy": [policy], "limit_bytes": [1000], "keys": [3], "keys_with_ttl": [with_ttl]}
    )
    counters = pd.DataFrame({"evicted_keys": [evicted], "evicted_keys_delta": [0], "seconds": [5.0]})
    assert list(offenders("no_critical_key_can_be_evicted", precious, counters).severity) == expected


def test_an_idle_server_needs_no_new_snapshot():
    """Nothing changed since the last save, or the append-only file holds it."""
    old = pd.Timestamp.now("UTC") - pd.Timedelta(days=9)
    rows = pd.DataFrame(
        {
            "last_save_at": [old, old, old],
            "save_rules": ["3600 1", "3600 1", ""],
            "aof_enabled": [False, True, False],
            "changes_since_save": [0, 50, 50],
        }
    )
    assert offenders("redis_saved_its_data_lately", rows).empty


def test_a_long_queue_is_no_big_key():
    """A backlog has a rule of its own; its length says nothing of how it is read."""
    rows = pd.DataFrame(
        {"key": ["log_queue", "recent"], "type": "list", "kind": ["queue", ""], "bytes": 50_000, "length": 5_000}
    )
    assert list(offenders("no_key_is_too_big", rows)["key"]) == ["recent"]


@pytest.mark.parametrize(
    ("depths", "alarm"),
    [
        ([500, 600, 700, 800], True),
        ([50_000, 50_000, 50_000, 50_000], True),  # nobody takes from it
        ([1, 2, 3, 4], False),  # short: it rises and falls with every request
        ([600, 150, 300, 450], False),  # a consumer that takes many at once
        ([900_000, 899_990, 899_980, 899_970], True),  # hours to go
        ([9_000, 6_000, 3_000, 500], False),
    ],
)
def test_queue_trend(depths, alarm):
    start = pd.Timestamp.now("UTC")
    rows = pd.DataFrame(
        {
            "at": [start + pd.Timedelta(seconds=5 * n / 3) for n in range(4)],
            "key": "log_queue",
            "type": "list",
            "depth": depths,
        }
    )
    assert len(offenders("every_queue_drains", rows)) == alarm
