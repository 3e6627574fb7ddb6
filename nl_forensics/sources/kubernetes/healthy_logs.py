"""Logs of healthy containers: collected last, as they are many and not lost soon."""

from nl_forensics.sources import Permission, Proof, source
from nl_forensics.sources.kubernetes.lines import derived
from nl_forensics.sources.kubernetes.logs import (
    COLUMNS,
    Log,
    key_of,
    live_containers,
    logs_of_failure,
    not_read,
    read_all,
)


@source(
    columns=COLUMNS,
    covers="window",
    derive=derived,
    needs=Permission(kubernetes="list pods; get pods/log"),
    guide=("C029", "C032"),
)
def k8s_logs(kubernetes, incident, platform):
    """One row per line of the logs of one running pod of each workload since the incident began; columns as in k8s_unhealthy_logs.

    Other pods are not read, and reported as a gap, unless `budget.kubernetes_all_logs` is true.
    """
    running = [
        one for one in live_containers(kubernetes, incident, platform) if one["state"] in ("running", "terminated")
    ]
    unhealthy = {log for one in running for log in map(key_of, logs_of_failure(one, incident))}
    healthy = [log for log in (Log(one, False) for one in running) if key_of(log) not in unhealthy]
    left = max(0, platform.budget.kubernetes_logs - len(unhealthy))
    chosen = healthy if platform.budget.kubernetes_all_logs else _one_of_each(healthy)[:left]
    yield Proof(f"{len(chosen)} logs of {len(healthy)} healthy containers are read")
    since = incident.start.strftime("%Y-%m-%dT%H:%M:%SZ")
    yield from read_all(kubernetes, chosen, platform.budget, since)
    read = {key_of(log) for log in chosen}
    yield from not_read([log for log in healthy if key_of(log) not in read], "healthy")


def _one_of_each(logs: list[Log]) -> list[Log]:
    """The log of one container of each workload; the first in alphabetical order, so that it is the same one again."""
    chosen: dict[tuple, Log] = {}
    for log in sorted(logs, key=key_of):
        one = log.container
        if one["kind"] != "init":
            chosen.setdefault((one["namespace"], one["workload_kind"], one["workload"], one["container"]), log)
    return list(chosen.values())
