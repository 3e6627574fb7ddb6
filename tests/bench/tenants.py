"""Section 07 held against a case of many tenants: their objects, namespaces, steps, quotas, ends, policies, keys, rows and shares."""

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nl_forensics.checks import of_sections
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.inputs.parameters import resolve
from nl_forensics.sources import Proof
from tests.bench.measure import tell, watched

TENANTS = 10_000
AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
CREATED = AT.isoformat()
STEPS = ("namespaces", "resourcequotas", "serviceaccounts", "roles", "rolebindings", "networkpolicies", "deployments")
SECTION = "07"


def tenants_judged() -> None:
    with tempfile.TemporaryDirectory() as folder:
        case = case_of(Path(folder) / "case", TENANTS)
        _, whole, peak = watched(["findings", str(case.folder), "--sections", SECTION], {})
        tell(f"section 07 of {TENANTS:,} tenants", f"{whole:.2f} s", "≤ 20 s")
        tell("its memory", f"{peak:.0f} MiB", "≤ 1 GB")


def case_of(folder: Path, tenants: int) -> Case:
    """A case in which one of the tenants is stuck, and one is open to all."""
    incident = {"id": "bench", "start": CREATED, "end": (AT + timedelta(minutes=30)).isoformat()}
    step = open_round(folder, resolve({"incident": incident, "platform": "neurallog"}))
    asked = {name for check in of_sections([SECTION]) for name in check.needs}
    for name in sorted(asked):
        recording = step.record(name, "main")
        recording.write([Proof("the benchmark wrote it"), *ROWS.get(name, _nothing)(tenants)])
        recording.close((AT + timedelta(minutes=29)).isoformat())
    step.finish()
    step.close()
    return Case(folder)


def _nothing(tenants: int) -> Iterator[dict]:
    yield from ()


def _names(tenants: int) -> Iterator[tuple[int, str, str]]:
    for number in range(tenants):
        yield number, f"customer-{number:05}", f"tenant-customer-{number:05}"


def _tenants(tenants: int) -> Iterator[dict]:
    for number, tenant, namespace in _names(tenants):
        ready = {"ready": True, "ready_reason": "", "ready_message": "", "ready_at": CREATED}
        place = {"tenant": tenant, "namespace": namespace, "created_at": CREATED, "deletion_requested_at": None}
        rest = {"id": str(number), "plan": "team", "suspended": number % 100 == 0, "phase": "Ready", "share_ratio": 0.5}
        yield place | rest | ready


def _steps(tenants: int) -> Iterator[dict]:
    for number, tenant, namespace in _names(tenants):
        for place, kind in enumerate(STEPS, 1):
            done = number > 0 or place < 4
            yield {
                "tenant": tenant,
                "namespace": namespace,
                "number": place,
                "steps": len(STEPS),
                "step": kind,
                "kind": kind,
                "object": "tenant",
                "done": done,
                "exists": done,
                "created_at": CREATED if done else None,
                "was_done": done,
                "why": "",
                "wanted_at": CREATED,
                "suspended": False,
            }


def _namespaces(tenants: int) -> Iterator[dict]:
    for _, tenant, namespace in _names(tenants):
        yield {
            "tenant": tenant,
            "namespace": namespace,
            "created_at": CREATED,
            "deletion_requested_at": None,
            "known": True,
        }


def _quotas(tenants: int) -> Iterator[dict]:
    for number, _, namespace in _names(tenants):
        for resource in ("pods", "requests.cpu", "requests.memory", "limits.memory"):
            place = {"namespace": namespace, "name": "tenant", "created_at": CREATED, "resource": resource}
            yield place | {"used": 95.0 if number % 1_000 == 0 else 10.0, "hard": 100.0, "scopes": ""}


def _ends(tenants: int) -> Iterator[dict]:
    for number, tenant, namespace in _names(tenants):
        yield {
            "tenant": tenant,
            "namespace": namespace,
            "workload": "log-server",
            "pod": f"log-server-{number}",
            "address": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}",
            "labels": f"app=log-server,pod-template-hash={number:x}",
            "namespace_labels": f"kubernetes.io/metadata.name={namespace},neurallog.io/tenant={tenant}",
            "host_network": False,
            "named_ports": "http:8080/TCP",
            "port": 8080,
            "protocol": "TCP",
        }


def _policies(tenants: int) -> Iterator[dict]:
    for number, tenant, namespace in _names(tenants):
        own = [] if number == 1 else {"matchLabels": {"neurallog.io/tenant": tenant}}
        peers = [{"namespaceSelector": {}}] if number == 1 else [{"namespaceSelector": own}]
        place = {"namespace": namespace, "created_at": CREATED, "direction": "ingress", "selector": "{}"}
        yield place | {"name": "default-deny", "rules": "[]"}
        yield place | {"name": "own", "rules": json.dumps([{"from": peers}])}


def _rows(tenants: int) -> Iterator[dict]:
    for number, tenant, _ in _names(tenants):
        yield {"database": "neurallog", "id": str(number), "tenant": tenant, "plan": "team"}


def _keys(tenants: int) -> Iterator[dict]:
    for number in range(tenants + 1):
        yield {"pattern": "usage:{tenant_id}:*", "tenant": str(number), "by_number": True, "keys": 24, "bytes": 20_000}


def _users(tenants: int) -> Iterator[dict]:
    for _, tenant, _ in _names(min(tenants, 1_000)):
        yield {"user": f"tenant-{tenant}", "tenant": tenant, "reaches": ""}


def _use(tenants: int) -> Iterator[dict]:
    for number, tenant, _ in _names(200):
        for resource in ("CPU", "ingestion", "database time"):
            share = 0.6 if number == 2 else 0.001
            used = {"used": share * 1e6, "used_per_s": share * 1e3, "used_by_all": 1e6, "share_ratio": share}
            yield {"window": "incident", "resource": resource, "tenant": tenant, "tenants": tenants, **used}


def _lines(tenants: int) -> Iterator[dict]:
    """Of the tenants that send most; 30 values each."""
    start = AT.timestamp()
    for _, tenant, _ in _names(min(tenants, 2_000)):
        values = [[start + 60 * minute, "3.0"] for minute in range(30)]
        yield {"window": "incident", "step_s": 60, "metric": {"tenant": tenant}, "values": values}


ROWS = {
    "k8s_tenants": _tenants,
    "k8s_tenant_steps": _steps,
    "k8s_tenant_namespaces": _namespaces,
    "k8s_tenant_ends": _ends,
    "k8s_policy_rules": _policies,
    "k8s_quotas": _quotas,
    "pg_tenants": _rows,
    "redis_tenant_keys": _keys,
    "redis_tenant_users": _users,
    "prom_tenant_use": _use,
    "prom_lines_accepted": _lines,
}
