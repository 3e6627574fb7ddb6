"""Recording and alerting rules, as a platform like NeuralLog has them."""

INTERVAL_S = 15


def alert(name, expr, after="1m", severity="critical"):
    return {"alert": name, "expr": expr, "for": after, "labels": {"severity": severity}}


WATCHDOG = alert("Watchdog", "vector(1)", "0s", "none")
RULES = {
    "groups": [
        {
            "name": "platform",
            "interval": f"{INTERVAL_S}s",
            "rules": [
                {"record": "job:up:sum", "expr": "sum by (job) (up)"},
                WATCHDOG,
                alert("TargetDown", "up == 0"),
                alert("PostgresDown", "pg_up == 0"),
                alert("RedisDown", "redis_up == 0"),
                alert("ConnectionsUsedUp", "sum by (instance) (pg_stat_activity_count) > 42", "2m", "warning"),
                alert("LogQueueGrows", 'redis_key_size{key="log_queue"} > 1000', "5m", "warning"),
            ],
        }
    ]
}
