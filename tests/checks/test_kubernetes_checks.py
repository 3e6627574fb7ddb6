"""The rules about Kubernetes: each fires on its fault as a real cluster shows it, and on none of the known false alarms."""

from datetime import UTC, datetime, timedelta
from string import Formatter

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks.kubernetes.signatures import SIGNATURES
from nl_forensics.checks.rule import Unseen
from nl_forensics.checks.watch import Watch
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.facts.kubernetes.pending import not_ready, refused_for
from nl_forensics.facts.kubernetes.revisions import _difference
from nl_forensics.facts.kubernetes.terminations import exit_in_words, first_crash, with_last_end
from nl_forensics.finding import Status, When
from nl_forensics.inputs.parameters import resolve
from nl_forensics.sources import Proof
from nl_forensics.units import Wording
from tests.asking import empty_table, offenders, specimen_tables
from tests.record import specimens
from tests.recorded import specimen

NOW = datetime.now(UTC).replace(microsecond=0)
RECORDED = [
    one.name
    for one in specimens.load().values()
    if one.fault.__module__.startswith("tests.record.kubernetes.")
    and set(checks.load()[one.check].needs) <= set(one.sources)  # others take the rest from a healthy case
]
USUAL = {"Int64": 0, "float64": 0.0, "boolean": False, "str": ""}


def ago(**how_long) -> str:
    return (NOW - timedelta(**how_long)).isoformat()


def rows(source, *records) -> pd.DataFrame:
    """A table of a source; what a record doesn't say is "", 0 or false, and null where the source says that it may be."""
    one = sources.load()[source]
    usual = {
        name: None if column.nullable else USUAL.get(column.dtype, ago(days=9)) for name, column in one.columns.items()
    }
    found = one.table([usual | record for record in records]) if records else empty_table(source)
    return found.assign(asked_at=pd.Timestamp(NOW))  # however long ago the tests began


def container(**changes) -> dict:
    """A container that runs since 9 days."""
    healthy = {"namespace": "tenant-acme", "pod": "api-1", "uid": "u1", "container": "api", "kind": "container"}
    healthy |= {
        "workload_kind": "Deployment",
        "workload": "api",
        "node": "n1",
        "pod_phase": "Running",
        "state": "running",
    }
    return healthy | {"ready": True, "started": True, "restarts": 0} | changes


def pod(**changes) -> dict:
    healthy = {
        "namespace": "tenant-acme",
        "pod": "api-1",
        "uid": "u1",
        "workload_kind": "Deployment",
        "workload": "api",
    }
    healthy |= {"phase": "Running", "ready": True, "ready_changed_at": ago(days=9), "scheduled": True, "node": "n1"}
    return healthy | {"containers": 1, "containers_ready": 1, "started_at": ago(days=9)} | changes


def event(**changes) -> dict:
    usual = {
        "at": ago(minutes=1),
        "first_at": ago(minutes=9),
        "namespace": "tenant-acme",
        "kind": "Pod",
        "name": "api-1",
    }
    return usual | {"uid": "u1", "type": "Warning", "repeats": 9, "component": "kubelet"} | changes


CRASHED = {
    "last_reason": "Error",
    "last_exit_code": 1,
    "last_started_at": ago(minutes=2),
    "last_finished_at": ago(minutes=1),
}
LOOPING = CRASHED | {"state": "waiting", "state_reason": "CrashLoopBackOff", "restarts": 7, "ready": False}
OOM = CRASHED | {"last_reason": "OOMKilled", "last_exit_code": 137, "restarts": 1}


# --- Every rule sees its fault ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", RECORDED)
def test_rule_fires_on_its_specimen(recorded):
    name, tables = specimen_tables(recorded)
    one = checks.load()[name]
    found = one.offenders(**{needed: tables[needed] for needed in one.needs}, **one.limits)
    assert len(found)
    for row in found.to_dict("records"):
        told = row | one.limits
        assert Wording(one.subject).of(told) and Wording(one.because).of(told)
        used = {name for _, name, *_ in Formatter().parse(one.subject + one.because) if name}
        assert not [name for name in used if pd.isna(told[name])]


def test_every_rule_has_a_specimen():
    own = {
        one.name
        for one in checks.load().values()
        if one.offenders.__module__.startswith("nl_forensics.checks.kubernetes") and one.needs[0].startswith("k8s_")
    }
    assert own <= {one.check for one in specimens.load().values()}


@pytest.mark.parametrize(
    "name",
    [
        one.name
        for one in checks.load().values()
        if one.offenders.__module__.startswith("nl_forensics.checks.kubernetes")
    ],
)
def test_rule_finds_nothing_in_nothing(name):
    one = checks.load()[name]
    assert offenders(name, *(empty_table(needed) for needed in one.needs)).empty


# --- Known false alarms -----------------------------------------------------------------------------------------------


def quiet(check, *tables, **limits):
    assert offenders(check, *tables, **limits).empty


def test_young_pod_may_start():
    # It was made seconds ago: no node yet, images are pulled, its readiness probe has not passed.
    young = {"created_at": ago(seconds=5), "ready": False, "ready_changed_at": ago(seconds=5)}
    unscheduled = pod(**young, phase="Pending", scheduled=False, node="", scheduling_reason="Unschedulable")
    quiet("every_pod_is_scheduled", rows("k8s_pods", unscheduled))
    quiet("every_pod_is_ready", rows("k8s_pods", pod(**young)))
    creating = container(state="waiting", state_reason="ContainerCreating", pod_created_at=ago(seconds=20))
    quiet("no_container_waits_long", rows("k8s_containers", creating))
    quiet("no_container_crash_loops", rows("k8s_containers", creating))
    deployment = {"namespace": "tenant-acme", "name": "api", "created_at": ago(seconds=20), "replicas": 2}
    none = (empty_table("k8s_stateful_sets"), empty_table("k8s_daemon_sets"))
    quiet("every_workload_has_its_replicas", rows("k8s_deployments", deployment), *none)
    service = {
        "namespace": "tenant-acme",
        "name": "api",
        "type": "ClusterIP",
        "selector": "app=api",
        "pods_selected": 1,
    }
    service |= {"created_at": ago(seconds=20)}
    quiet("every_service_has_a_ready_endpoint", rows("k8s_services", service), empty_table("k8s_deployments"))


def test_completed_pod_is_not_to_be_ready():
    done = pod(phase="Succeeded", ready=False, workload_kind="Job", containers_ready=0)
    quiet("every_pod_is_ready", rows("k8s_pods", done))
    quiet("no_pod_has_failed", rows("k8s_pods", done))
    ended = container(
        state="terminated", state_reason="Completed", state_exit_code=0, state_finished_at=ago(days=1), ready=False
    )
    for name in (
        "no_container_crash_loops",
        "containers_seldom_restart",
        "every_container_can_be_started",
        "no_container_waits_long",
    ):
        quiet(name, rows("k8s_containers", ended))


def test_pod_that_is_deleted_on_purpose_raises_nothing():
    # Its containers get SIGTERM, then SIGKILL, and its probes fail meanwhile.
    leaving = pod(
        ready=False, ready_changed_at=ago(minutes=30), deletion_requested_at=ago(seconds=20), deletion_grace_s=30
    )
    for name in ("every_pod_is_ready", "every_pod_is_scheduled", "no_pod_hangs_in_deletion", "no_pod_has_failed"):
        quiet(name, rows("k8s_pods", leaving))
    killed = container(**LOOPING | {"last_exit_code": 137}, pod_deletion_requested_at=ago(seconds=20))
    for name in ("no_container_crash_loops", "no_container_runs_out_of_memory", "liveness_probes_leave_time_to_start"):
        quiet(name, rows("k8s_containers", killed))
    unhealthy = event(reason="Unhealthy", message="Readiness probe failed: connection refused")
    quiet("probes_succeed", rows("k8s_events", unhealthy), rows("k8s_pods", leaving))


def test_pod_that_had_long_to_go_is_not_hanging():
    # A database is given half an hour to write its data.
    slow = pod(deletion_requested_at=ago(minutes=20), deletion_grace_s=1800)
    quiet("no_pod_hangs_in_deletion", rows("k8s_pods", slow))


def test_job_of_a_cron_job_that_retried_fine():
    # A pod failed and the next one succeeded; or a run failed and the next run succeeded.
    failed_pod = pod(phase="Failed", ready=False, workload_kind="Job", workload="clean-up-1")
    quiet("no_pod_has_failed", rows("k8s_pods", failed_pod))
    retried = {"namespace": "tenant-acme", "name": "clean-up-1", "workload": "clean-up", "failed": 1, "succeeded": 1}
    retried |= {"completed_at": ago(minutes=5), "started_at": ago(minutes=9)}
    failed = {"namespace": "tenant-acme", "name": "clean-up-0", "workload": "clean-up", "failed": 1, "failure": True}
    failed |= {"failure_at": ago(minutes=30), "started_at": ago(minutes=40)}
    quiet("no_job_has_failed", rows("k8s_jobs", retried))
    quiet("no_job_has_failed", rows("k8s_jobs", failed, retried))
    # The success of another tenant's job of the same name is none of it.
    assert len(offenders("no_job_has_failed", rows("k8s_jobs", failed, retried | {"namespace": "tenant-globex"}))) == 1


def test_suspended_cron_job_misses_nothing():
    cron = {"namespace": "tenant-acme", "name": "clean-up", "schedule": "* * * * *", "suspended": True}
    cron |= {"last_scheduled_at": ago(days=8), "last_succeeded_at": ago(days=8)}
    quiet("every_cron_job_keeps_its_schedule", rows("k8s_cron_jobs", cron))
    quiet("every_cron_job_succeeds", rows("k8s_cron_jobs", cron))
    [severity] = [checks.load()["no_cron_job_is_suspended"].severity]
    assert severity == "note"


def test_cron_job_that_is_at_work_has_not_failed():
    cron = {"namespace": "tenant-acme", "name": "clean-up", "schedule": "0 * * * *", "active": 1}
    cron |= {"last_scheduled_at": ago(minutes=10), "last_succeeded_at": ago(minutes=69)}
    quiet("every_cron_job_succeeds", rows("k8s_cron_jobs", cron))


def cron_job(schedule, last, asked="2026-11-30T12:05:00Z", **facts) -> pd.DataFrame:
    """The table of one cron job that last ran at `last`, or was made then."""
    cron = {"namespace": "tenant-acme", "name": "invoices", "schedule": schedule, "created_at": last}
    return rows("k8s_cron_jobs", cron | {"last_scheduled_at": last} | facts).assign(asked_at=pd.Timestamp(asked))


SCHEDULES = (
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "0 */2 * * *",
    "0 2 * * 1-5",
    "30 4 1 * *",
    "0 * * * *",
    "0 9,17 * * *",
)


@pytest.mark.parametrize("schedule", [*SCHEDULES, "@hourly", "@weekly", "@monthly"])
def test_no_schedule_is_kept_for_40_days_without_a_run(schedule):
    [row] = offenders("every_cron_job_keeps_its_schedule", cron_job(schedule, "2026-10-21T12:05:00Z")).itertuples()
    assert row.due_at > pd.Timestamp("2026-10-21T12:05:00Z")


@pytest.mark.parametrize(
    ("schedule", "last", "time_zone"),
    [
        ("0 3 1 * *", "2026-11-01T03:00:00Z", ""),  # the next one is in December
        ("*/5 * * * *", "2026-11-30T11:50:00Z", ""),  # due 10 minutes ago: not late yet
        ("0 6 * * *", "2026-11-29T14:00:00Z", "America/Los_Angeles"),  # 6 o'clock there is 14:00 UTC
    ],
)
def test_a_schedule_that_is_not_due_is_kept(schedule, last, time_zone):
    quiet("every_cron_job_keeps_its_schedule", cron_job(schedule, last, time_zone=time_zone))


def test_a_schedule_is_one_of_its_time_zone():
    table = cron_job("0 6 * * *", "2026-11-28T20:00:00Z", time_zone="Asia/Tokyo")
    [due] = offenders("every_cron_job_keeps_its_schedule", table).due_at
    assert due == pd.Timestamp("2026-11-28T21:00:00Z")


def test_a_cron_job_that_never_ran():
    table = cron_job("0 * * * *", None, created_at="2026-11-30T09:30:00Z")
    [row] = offenders("every_cron_job_keeps_its_schedule", table).itertuples()
    assert row.due_at == pd.Timestamp("2026-11-30T10:00:00Z") and "never run" in row.last_run


@pytest.mark.parametrize(
    "facts",
    [{"schedule": "@every 1h"}, {"schedule": "H * * * *"}, {"schedule": "0 0 30 2 *"}, {"time_zone": "Mars/Base"}],
)
def test_a_schedule_that_cannot_be_read_is_a_gap(facts):
    table = cron_job(**{"schedule": "0 * * * *", "last": "2026-10-21T12:05:00Z"} | facts)
    with pytest.raises(Unseen, match="cannot be read"):
        offenders("every_cron_job_keeps_its_schedule", table)


def test_restarts_of_a_year_are_few():
    old = container(**CRASHED | {"restarts": 40}, pod_created_at=ago(days=365))
    quiet("containers_seldom_restart", rows("k8s_containers", old))


def test_pod_that_is_not_ready_at_once_starts():
    # Its probe is asked before it listens, on a slow machine more often than usual.
    failed = event(
        reason="Unhealthy", message="Readiness probe failed: connection refused", at=ago(minutes=8, seconds=30)
    )
    quiet("probes_succeed", rows("k8s_events", failed), rows("k8s_pods", pod(created_at=ago(minutes=9))))
    late = rows("k8s_events", failed | {"at": ago(minutes=1)})
    assert len(offenders("probes_succeed", late, rows("k8s_pods", pod(created_at=ago(minutes=9))))) == 1


def test_refused_pod_is_told_once():
    # The replica set says it itself, as long as it lasts.
    refused = event(kind="ReplicaSet", name="api-1", reason="FailedCreate", message="exceeded quota")
    fails = {"namespace": "tenant-acme", "name": "api-1", "replica_failure": True}
    quiet("no_pod_is_refused", rows("k8s_events", refused), rows("k8s_replica_sets", fails))
    over = rows("k8s_replica_sets", fails | {"replica_failure": False})
    assert len(offenders("no_pod_is_refused", rows("k8s_events", refused), over)) == 1


def test_probe_that_killed_is_told_once():
    unhealthy = event(reason="Unhealthy", container="api", message="Liveness probe failed: timeout")
    killed = event(reason="Killing", container="api", message="Container api failed liveness probe, will be restarted")
    events = rows("k8s_events", unhealthy, killed)
    quiet("probes_succeed", events, rows("k8s_pods", pod()))
    (told,) = offenders("no_container_is_killed_by_its_probe", events).to_dict("records")
    assert (told["probe"], told["said"]) == ("liveness", "timeout")


def test_deployment_scaled_to_zero_wants_nothing():
    zero = {"namespace": "tenant-acme", "name": "api", "replicas": 0}
    none = (empty_table("k8s_stateful_sets"), empty_table("k8s_daemon_sets"))
    quiet("every_workload_has_its_replicas", rows("k8s_deployments", zero), *none)
    service = {
        "namespace": "tenant-acme",
        "name": "api",
        "type": "ClusterIP",
        "selector": "app=api",
        "pods_selected": 0,
    }
    found = offenders(
        "every_service_has_a_ready_endpoint", rows("k8s_services", service), rows("k8s_deployments", zero)
    )
    assert list(found.severity) == ["note"]


def test_deployment_that_lost_a_pod_is_not_rolling_out():
    lost = {"namespace": "tenant-acme", "name": "api", "replicas": 2, "updated_replicas": 2, "available_replicas": 1}
    lost |= {"progressing": True, "progressing_reason": "NewReplicaSetAvailable", "progressing_updated_at": ago(days=3)}
    quiet("every_rollout_completes", rows("k8s_deployments", lost))


def test_claim_that_waits_for_its_pod_is_no_fault():
    claim = {"namespace": "tenant-acme", "name": "data", "phase": "Pending", "storage_class": "local"}
    local = {"name": "local", "provisioner": "local", "binding": "WaitForFirstConsumer"}
    quiet("every_volume_claim_is_bound", rows("k8s_claims", claim), rows("k8s_storage_classes", local))


def _volume_elsewhere(access_modes="ReadWriteOnce", **waiting):
    """The tables of a pod that waits on node n2 for a volume that is attached to n1."""
    attached = {"name": "a", "volume": "pv-1", "node": "n1", "attached": True}
    volume = {"name": "pv-1", "access_modes": access_modes, "claim_namespace": "tenant-acme", "claim": "data"}
    waits = pod(phase="Pending", ready=False, node="n2", claims="data") | waiting
    return rows("k8s_attachments", attached), rows("k8s_volumes", volume), rows("k8s_pods", waits)


def test_volume_on_another_node_is_told_with_the_pod_that_waits():
    (told,) = offenders("no_volume_is_attached_elsewhere", *_volume_elsewhere()).to_dict("records")
    assert (told["volume"], told["holder"], told["node"]) == ("pv-1", "n1", "n2")


def test_volume_that_is_where_it_may_be():
    moves, shared, mounts = {"created_at": ago(seconds=10)}, {"access_modes": "ReadWriteMany"}, {"node": "n1"}
    for fine in (moves, shared, mounts):
        quiet("no_volume_is_attached_elsewhere", *_volume_elsewhere(**fine))


def test_mounted_in_the_end():
    # The config map came a moment after the pod: it failed a few times, and runs.
    failed = event(reason="FailedMount", message='configmap "settings" not found')
    quiet("every_volume_can_be_mounted", rows("k8s_events", failed), rows("k8s_pods", pod()))


def test_suspended_tenant_is_not_to_be_ready():
    suspended = {"kind": "tenants", "name": "acme", "phase": "Suspended", "ready": False, "ready_at": ago(days=3)}
    quiet("every_object_of_an_operator_is_ready", rows("k8s_custom", suspended))


def test_quota_of_zero_forbids_on_purpose():
    quiet(
        "every_quota_leaves_room",
        rows("k8s_quotas", {"namespace": "tenant-acme", "name": "q", "resource": "pods", "used": 0}),
    )


def test_log_that_always_has_errors_bursts_not():
    lines = [
        {"namespace": "n", "pod": "p", "container": "c", "line": n, "at": ago(seconds=600 - 4 * n), "level": "error"}
        for n in range(150)
    ]
    quiet("no_log_bursts_into_errors", empty_table("k8s_unhealthy_logs"), rows("k8s_logs", *lines))


def test_log_that_always_has_errors_bursts_not_where_it_was_cut():
    """Two errors a second, ever since, and as much else: of its newest 300 lines one minute is whole, and seconds of others."""
    for second in range(0, 60, 5):
        end = NOW.replace(second=second)
        lines = [
            {
                "namespace": "n",
                "pod": "p",
                "container": "c",
                "line": n,
                "at": (end - timedelta(seconds=75 - n / 4)).isoformat(),
                "level": "error" if n % 2 else "info",
            }
            for n in range(300)
        ]
        quiet("no_log_bursts_into_errors", empty_table("k8s_unhealthy_logs"), rows("k8s_logs", *lines))


def test_failure_that_was_handled_is_information():
    line = {"at": ago(minutes=1), "level": "info", "message": "connection refused, trying the next one"}
    quiet("no_log_shows_a_known_failure", empty_table("k8s_unhealthy_logs"), rows("k8s_logs", line))


def test_first_revision_of_a_workload_changes_nothing():
    first = {
        "namespace": "tenant-acme",
        "workload_kind": "Deployment",
        "workload": "api",
        "revision": 1,
        "template_hash": "h1",
    }
    tables = rows("k8s_replica_sets", first), empty_table("k8s_controller_revisions")
    quiet(
        "no_rollout_precedes_a_symptom",
        *tables,
        rows("k8s_containers", container(**LOOPING)),
        rows("k8s_pods", pod(revision="h1")),
    )


def test_pod_of_the_old_revision_is_not_the_new_one_s_fault():
    assert rolled_out(pod(revision="h2"))
    assert not rolled_out(pod(revision="h1"))


def test_container_that_crashed_before_the_edit_is_not_its_fault():
    edited = {"namespace": "tenant-acme", "name": "settings", "created_at": ago(days=30), "changed_at": ago(seconds=90)}
    reader = rows("k8s_pods", pod(config_maps="settings"))
    since = container(**LOOPING | {"restarts": 2})
    before = container(**LOOPING | {"restarts": 500})
    maps = rows("k8s_config_maps", edited)
    assert len(offenders("no_config_change_precedes_a_symptom", maps, rows("k8s_containers", since), reader)) == 1
    quiet("no_config_change_precedes_a_symptom", maps, rows("k8s_containers", before), reader)


def rolled_out(*pods) -> list[str]:
    """What a rollout of two revisions, 2 minutes ago, is said to have changed."""
    common = {"namespace": "tenant-acme", "workload_kind": "Deployment", "workload": "api"}
    old = common | {
        "revision": 1,
        "template_hash": "h1",
        "images": "api:1",
        "created_at": ago(days=9),
        "env_digest": "a",
    }
    new = common | {
        "revision": 2,
        "template_hash": "h2",
        "images": "api:2",
        "created_at": ago(minutes=2),
        "env_digest": "b",
    }
    tables = rows("k8s_replica_sets", new, old), empty_table("k8s_controller_revisions")
    containers = [
        container(**LOOPING | {"pod_created_at": ago(minutes=2)}, namespace=one["namespace"], uid=one["uid"])
        for one in pods
    ]
    found = offenders(
        "no_rollout_precedes_a_symptom", *tables, rows("k8s_containers", *containers), rows("k8s_pods", *pods)
    )
    return list(found.changed)


def test_new_pod_that_is_starting_is_no_symptom_of_its_rollout():
    common = {"namespace": "tenant-acme", "workload_kind": "Deployment", "workload": "api"}
    old = common | {"revision": 1, "template_hash": "h1"}
    new = common | {"revision": 2, "template_hash": "h2", "created_at": ago(seconds=9)}
    starting = pod(revision="h2", ready=False, ready_changed_at=ago(seconds=8), created_at=ago(seconds=8))
    tables = rows("k8s_replica_sets", old, new), empty_table("k8s_controller_revisions"), empty_table("k8s_containers")
    quiet("no_rollout_precedes_a_symptom", *tables, rows("k8s_pods", starting))


def test_what_a_rollout_changed():
    [changed] = rolled_out(pod(revision="h2"))
    assert changed == "image: api:1 → 2; values of environment variables, command or arguments (not recorded)"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("reg.example/api:1.4.0", "reg.example/api:1.5.0", "reg.example/api:1.4.0 → 1.5.0"),
        ("reg.example:5000/api:1", "other.example/api:1", "reg.example:5000/api:1 → other.example/api:1"),
        ("api a:1, log b:1", "api a:2, log b:1", "api a:1 → api a:2"),
        ("HOST, PORT", "HOST, PORT, DEBUG", "+ DEBUG"),
        ("HOST, PORT", "PORT", "− HOST"),
        ("", "limits", "+ limits"),
        ("HOST, PORT", "PORT, HOST", "HOST, PORT → PORT, HOST"),
    ],
)
def test_of_two_revisions_only_the_difference_is_told(before, after, told):
    assert _difference(before, after) == told


def test_one_that_runs_again_crashed_as_often_as_it_was_restarted():
    """Waiting for the fifth restart it has crashed five times; running after the fourth, four times."""
    tables = rows(
        "k8s_containers", container(**LOOPING), container(**CRASHED, restarts=1), container(**CRASHED, restarts=2)
    )
    first = first_crash(with_last_end(tables.assign(asked_at=pd.Timestamp(NOW))))
    ended = pd.Timestamp(ago(minutes=1))
    assert [(ended - at).total_seconds() for at in first] == [7 * 300, 0, 300]


WAITS = {"phase": "Pending", "ready": False}


@pytest.mark.parametrize(
    ("one", "containers", "events", "why"),
    [
        (pod(), [container()], [], None),
        (pod(phase="Succeeded", ready=False), [container()], [], None),
        (pod(**WAITS), [container(state="waiting", state_reason="ContainerCreating")], [], "starting"),
        (pod(**WAITS), [container(state="waiting")], [event(reason="FailedMount")], "blocked: a volume"),
        (pod(**WAITS), [container(state="running", kind="init")], [], "init containers"),
        (pod(**WAITS), [container(state="waiting", state_reason="ImagePullBackOff")], [], "image"),
        (pod(**WAITS), [container(state="waiting", state_reason="CreateContainerConfigError")], [], "can't be started"),
        (
            pod(**WAITS, scheduled=False, scheduling_message="0/1: 1 Insufficient cpu"),
            [],
            [],
            "enough free capacity",
        ),
        (pod(**WAITS, scheduled=False, schedulable_gates="queue"), [], [], "a gate"),
        (pod(ready=False), [container(**LOOPING)], [], "crash loop"),
        (pod(ready=False), [container(ready=False)], [], "running, but unready"),
        (pod(ready=False, phase="Failed", reason="Evicted"), [], [], "evicted by its node (Evicted)"),
        (pod(ready=False, phase="Failed"), [], [], "failed"),
        (pod(deletion_requested_at=ago(minutes=1)), [container()], [], "being deleted"),
    ],
)
def test_why_a_pod_is_not_ready(one, containers, events, why):
    tables = [
        table.assign(instance="main", asked_at=pd.Timestamp(NOW))
        for table in (rows("k8s_pods", one), rows("k8s_containers", *containers), rows("k8s_events", *events))
    ]
    told = list(not_ready(*tables).why)
    assert len(told) == (why is not None)
    assert all(why in words for words in told)


# --- Never mixed ------------------------------------------------------------------------------------------------------


def test_same_pod_name_in_two_namespaces_is_two_pods():
    tables = rows(
        "k8s_containers",
        container(**LOOPING),
        container(**LOOPING, namespace="tenant-globex", uid="u2"),
        container(pod="api-2", uid="u3"),
    )
    found = offenders("no_container_crash_loops", tables)
    assert sorted(found.namespace) == ["tenant-acme", "tenant-globex"]
    # Use is measured by name: each is held against the limit of its own namespace.
    used = {"pod": "api-1", "container": "api", "memory_bytes": 95}
    metrics = rows("k8s_pod_metrics", used | {"namespace": "tenant-acme"}, used | {"namespace": "tenant-globex"})
    limits = rows(
        "k8s_containers",
        container(memory_limit_bytes=1000),
        container(namespace="tenant-globex", memory_limit_bytes=100),
    )
    assert list(offenders("no_container_nears_its_memory_limit", metrics, limits).namespace) == ["tenant-globex"]


def test_rollout_in_one_namespace_does_not_explain_the_other():
    assert not rolled_out(pod(revision="h2", namespace="tenant-globex"))


def test_ingress_leads_to_services_of_its_own_namespace():
    ingress = {"namespace": "tenant-acme", "name": "api", "service": "api", "port": "80"}
    service = {"namespace": "tenant-globex", "name": "api", "ports": "http:80→80/TCP", "endpoints_ready": 1}
    found = offenders("every_ingress_leads_to_a_service", rows("k8s_ingresses", ingress), rows("k8s_services", service))
    assert list(found.why) == ["no such service"]


# --- When -------------------------------------------------------------------------------------------------------------

ASKED = NOW - timedelta(seconds=10)


def case_of(folder, records) -> Case:
    """A case of the last hour, with an answer about containers."""
    systems = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")
    platform = {"name": "test", "systems": systems | {"kubernetes": {"main": {"endpoint": "KUBECONFIG"}}}}
    incident = {"id": "test", "start": ago(hours=1), "end": NOW.isoformat()}
    step = open_round(folder / "case", resolve({"incident": incident, "platform": platform}))
    recording = step.record("k8s_containers", "main")
    recording.write([*records, Proof("answered")])
    recording.close(ASKED.isoformat())
    step.finish()
    step.close()
    return Case(folder / "case")


def recorded_oom(**changes) -> list[dict]:
    records = specimen("killed_for_memory")["answers"]["k8s_containers"]["records"]
    return [
        record | {"pod_created_at": ago(days=30), "state": "running", "state_reason": ""} | changes
        for record in records
    ]


@pytest.mark.parametrize(
    ("killed", "restarts", "when"),
    [
        ({"days": 7}, 1, When.BEFORE),  # of last week: history
        ({"minutes": 20}, 1, When.DURING),
        ({"minutes": 2}, 5, When.ONGOING),  # again and again
    ],
)
def test_when_a_container_ran_out_of_memory(tmp_path, killed, restarts, when):
    at = {"last_started_at": ago(days=8), "last_finished_at": ago(**killed)}
    case = case_of(tmp_path, recorded_oom(**at, last_reason="OOMKilled", last_exit_code=137, restarts=restarts))
    [finding] = checks.judge(checks.load()["no_container_runs_out_of_memory"], case)
    assert (finding.status, finding.when) == (Status.PROBLEM, when)
    assert finding.is_of_the_incident == (when != When.BEFORE)


def test_case_without_offenders_is_ok(tmp_path):
    case = case_of(tmp_path, recorded_oom(last_reason="", last_exit_code=None, last_finished_at=None, restarts=0))
    [finding] = checks.judge(checks.load()["no_container_runs_out_of_memory"], case)
    assert finding.status is Status.OK


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        ("OOMKilled", 137, "OOMKilled, exit code 137: killed, SIGKILL"),
        ("Error", 139, "Error, exit code 139: segmentation fault, SIGSEGV"),
        ("Error", 143, "Error, exit code 143: terminated, SIGTERM"),
        ("Error", 1, "Error, exit code 1: an error of the program"),
        ("Error", 127, "Error, exit code 127: its command was not found"),
        ("Error", 42, "Error, exit code 42: an error of the program"),
    ],
)
def test_exit_code_in_words(reason, code, words):
    assert exit_in_words(pd.Series([reason]), pd.Series([code], dtype="Int64"))[0] == words


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint(s)", "enough free capacity"),
        ("0/1 nodes are available: 1 Too many pods", "enough free capacity"),
        ("0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: database}", "the taints"),
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector",
            "affinity",
        ),
        ("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules", "affinity"),
        ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims", "one of its volumes"),
        ("0/3 nodes are available: 3 node(s) had volume node affinity conflict", "one of its volumes"),
        ("0/3 nodes are available: 3 node(s) were unschedulable", "cordoned"),
        ("", "no node accepts it"),
    ],
)
def test_cause_of_a_pod_without_node(said, cause):
    assert cause in refused_for(said)


LINES = {
    "FATAL:  sorry, too many clients already": "the database has no free connection",
    "OSError: [Errno 28] No space left on device": "a volume is full",
    "dial tcp 10.0.0.7:6379: connect: connection refused": "connection refused by upstream",
    "lookup redis on 10.0.0.10:53: no such host": "a name can't be resolved",
    "tls: failed to verify certificate: x509: certificate has expired": "invalid certificate",
    "OOM command not allowed when used memory > 'maxmemory'.": "Redis is out of memory",
    "java.lang.OutOfMemoryError: Java heap space": "the process ran out of memory",
    "POST /v1/logs: status=429": "rate limit exceeded",
}


@pytest.mark.parametrize("line", LINES)
def test_known_failure_in_a_log(line):
    logged = {"namespace": "n", "pod": "p", "container": "c", "workload": "w", "at": ago(minutes=1), "message": line}
    found = offenders("no_log_shows_a_known_failure", empty_table("k8s_unhealthy_logs"), rows("k8s_logs", logged))
    assert list(found.means) == [LINES[line]]


def test_number_of_a_failure_is_no_failure():
    line = {"at": ago(minutes=1), "level": "warning", "message": "stored 429 lines, 28 were too long"}
    quiet("no_log_shows_a_known_failure", empty_table("k8s_unhealthy_logs"), rows("k8s_logs", line))


def test_signatures_name_a_section_of_the_guide():
    assert {one.section for one in SIGNATURES} <= {f"{number:02}" for number in range(1, 11)}


# --- Nulls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "column"),
    [
        ("no_node_is_under_pressure", "k8s_nodes", "memory_pressure"),
        ("no_node_is_under_pressure", "k8s_nodes", "pid_pressure"),
        ("every_part_of_the_api_is_served", "k8s_api_services", "available"),
        ("every_object_of_an_operator_is_ready", "k8s_custom", "ready"),
        ("every_autoscaler_works", "k8s_autoscalers", "able_to_scale"),
        ("every_autoscaler_works", "k8s_autoscalers", "scaling_active"),
        ("no_autoscaler_is_at_its_maximum", "k8s_autoscalers", "scaling_limited"),
        ("every_rollout_completes", "k8s_deployments", "progressing"),
    ],
)
def test_a_condition_that_is_unknown_is_read_and_not_replaced(name, source, column):
    watch, one = Watch(), checks.load()[name]
    conditions = {key: True for key, spec in sources.load()[source].columns.items() if spec.dtype == "boolean"}
    conditions |= dict.fromkeys(
        ("memory_pressure", "disk_pressure", "pid_pressure", "scaling_limited", "paused"), False
    )
    known = {key: value for key, value in conditions.items() if key in sources.load()[source].columns}
    table = rows(source, known | {column: None, "namespace": "tenant-acme", "name": "api"}).assign(instance="main")
    tables = {needed: empty_table(needed) for needed in one.needs} | {source: table}
    found = one.offenders(**{needed: watch.over(each) for needed, each in tables.items()}, **one.limits)
    assert found.empty and column in watch.nulls
