"""A condition is true, false, Unknown or missing, and what a missing one says depends on the controller that reports it."""

import json

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks.watch import Watch
from nl_forensics.sources.kubernetes.reading import conditions_of
from nl_forensics.sources.kubernetes.workloads import _deployment

SOURCES = sources.load()
SINCE = "2026-11-23T22:00:00Z"
STATUSES = {"True": True, "False": False, "Unknown": None}
ALWAYS_REPORTED = [
    ("k8s_nodes", "ready"),
    ("k8s_nodes", "memory_pressure"),
    ("k8s_custom", "ready"),
    ("k8s_autoscalers", "scaling_active"),
    ("k8s_api_services", "available"),
    ("k8s_deployments", "available"),
    ("k8s_deployments", "progressing"),
    ("k8s_certificates", "ready"),
]
ONLY_IF_IT_HOLDS = [
    ("k8s_replica_sets", "replica_failure"),
    ("k8s_deployments", "replica_failure"),
    ("k8s_jobs", "failure"),
    ("k8s_certificates", "issuing"),
]
COMMON = {"group": "neurallog.io", "kind": "tenants", "workload": "api", "revision": 1}


def _value(source: str, column: str, condition: dict | None):
    """What the table says of an object with this condition, through `parse` as a recorded answer is."""
    one = {"status": {"conditions": [condition] if condition else []}}
    table = SOURCES[source].table([COMMON | conditions_of(one, "Some", column)])
    value = table[column].iloc[0]
    return None if pd.isna(value) else bool(value)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("source", "column"), [*ALWAYS_REPORTED, *ONLY_IF_IT_HOLDS])
def test_a_condition_is_read_by_its_status_and_unknown_is_never_known(source, column, status):
    condition = {"type": "Some", "status": status, "reason": "Said", "lastTransitionTime": SINCE}
    assert _value(source, column, condition) is STATUSES[status]
    assert SOURCES[source].columns[column].unknown


@pytest.mark.parametrize(("source", "column"), ALWAYS_REPORTED)
def test_a_condition_that_is_always_reported_is_not_known_while_it_is_missing(source, column):
    assert _value(source, column, None) is None
    assert SOURCES[source].columns[column].unknown


@pytest.mark.parametrize(("source", "column"), ONLY_IF_IT_HOLDS)
def test_a_condition_that_is_reported_only_if_it_holds_is_false_while_it_is_missing(source, column):
    assert _value(source, column, None) is False
    assert SOURCES[source].columns[f"{column}_at"].absent


@pytest.mark.parametrize(
    ("group", "kind", "ready", "expected"),
    [
        ("neurallog.io", "tenants", None, True),  # its operator has not reported: not known
        ("monitoring.coreos.com", "servicemonitors", None, False),
        ("monitoring.coreos.com", "servicemonitors", False, True),
        ("velero.io", "backups", None, False),
    ],
)
def test_readiness_is_expected_of_kinds_that_report_it(group, kind, ready, expected):
    table = SOURCES["k8s_custom"].table([{"group": group, "kind": kind, "ready": ready}])
    assert bool(table.reports_ready.iloc[0]) is expected


def test_a_replica_set_of_no_deployment_has_no_number_and_one_of_a_deployment_is_not_numbered_yet():
    records = [COMMON | {"workload": workload, "revision": None} for workload in ("", "api")]
    assert SOURCES["k8s_replica_sets"].table(records).revision.fillna(-1).tolist() == [0, -1]


# Of a real API server, made with progressDeadlineSeconds 2147483647; there is no condition Progressing.
WITHOUT_DEADLINE = {
    "metadata": {
        "name": "api",
        "namespace": "tenant-acme",
        "generation": 1,
        "creationTimestamp": "2026-11-30T08:37:35Z",
        "annotations": {"deployment.kubernetes.io/revision": "1"},
    },
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "api"}},
        "template": {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "api", "image": "a:1"}]}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "progressDeadlineSeconds": 2147483647,
    },
    "status": {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "conditions": [
            {
                "type": "Available",
                "status": "True",
                "lastUpdateTime": "2026-11-30T08:37:35Z",
                "lastTransitionTime": "2026-11-30T08:37:35Z",
                "reason": "MinimumReplicasAvailable",
                "message": "Deployment has minimum availability.",
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("status", "is_known"),
    [
        ({}, True),
        ({"updatedReplicas": 0}, False),
        ({"availableReplicas": 0}, False),
        ({"observedGeneration": 0}, False),
    ],
)
def test_a_rollout_without_a_deadline_is_known_only_once_it_is_complete(status, is_known):
    """Its controller reports no progress: a rollout that is not complete may be stuck."""
    one = WITHOUT_DEADLINE | {"status": WITHOUT_DEADLINE["status"] | status}
    table = SOURCES["k8s_deployments"].table([json.loads(json.dumps(_deployment(one)))])
    assert pd.isna(table.progress_deadline_s[0])
    watch, check = Watch(), checks.load()["every_rollout_completes"]
    stamped = table.assign(instance="main", asked_at=pd.Timestamp("2026-11-30T08:37:38Z"))
    assert check.offenders(watch.over(stamped), **check.limits).empty
    assert ("progressing" in watch.nulls) is not is_known


@pytest.mark.parametrize(
    ("ended", "is_known"),
    [
        ({}, True),
        ({"last_reason": "Error", "last_finished_at": SINCE}, True),
        ({"last_reason": "ContainerStatusUnknown", "last_exit_code": 137}, False),
        ({"state": "terminated", "state_reason": "ContainerStatusUnknown", "state_exit_code": 137}, False),
    ],
)
def test_an_end_without_a_time_is_unknown(ended, is_known):
    """The kubelet writes ContainerStatusUnknown, exit code 137 and no time where it lost a container."""
    columns = SOURCES["k8s_containers"].columns
    record = {name: "" if one.dtype == "str" else None for name, one in columns.items()} | {"state": "running"}
    table = SOURCES["k8s_containers"].table([record | {"restarts": 9, "ready": True} | ended])
    watch, check = Watch(), checks.load()["no_container_crash_loops"]
    stamped = table.assign(instance="main", asked_at=pd.Timestamp(SINCE))
    check.offenders(watch.over(stamped), **check.limits)
    assert ("ends_are_dated" in watch.nulls) is not is_known


def test_every_column_of_kubernetes_says_what_it_means():
    columns = [
        (source.name, name, column)
        for source in SOURCES.values()
        if source.system == "kubernetes"
        for name, column in source.columns.items()
    ]
    assert len(columns) > 300
    assert [(source, name) for source, name, column in columns if not column.meaning] == []
