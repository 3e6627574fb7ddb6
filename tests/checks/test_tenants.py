"""Where a rule about tenants must stay quiet, and how it words what it finds."""

import pandas as pd
import pytest

from nl_forensics.checks.rule import Unseen
from nl_forensics.checks.tenants import isolation, leftovers, provisioning, quotas, shares, suspended
from tests.recorded import recorded_case

NOW = pd.Timestamp("2026-11-03T14:30:00Z")


def at(minutes):
    """A moment so many minutes ago; null for none."""
    return pd.NaT if minutes is None else NOW - pd.Timedelta(minutes=minutes)


def steps(*done, created=30, was_done=False):
    """Steps of one tenant: (exists, done, minutes since the object was created)."""
    rows = [
        {
            "instance": "main",
            "asked_at": NOW,
            "tenant": "acme",
            "namespace": "tenant-acme",
            "number": number,
            "steps": len(done),
            "step": f"step {number}",
            "kind": "services",
            "object": "",
            "done": is_done,
            "exists": exists,
            "created_at": at(minutes),
            "was_done": was_done,
            "why": "" if is_done or not exists else "it waits",
            "wanted_at": at(created),
            "suspended": False,
        }
        for number, (exists, is_done, minutes) in enumerate(done, 1)
    ]
    table = pd.DataFrame(rows).astype(
        {"done": "boolean", "exists": "boolean", "was_done": "boolean", "number": "Int64"}
    )
    moments = {name: pd.to_datetime(table[name], utc=True) for name in ("created_at", "wanted_at")}
    return table.assign(**moments)


TENANTS = pd.DataFrame(
    {
        "instance": ["main"],
        "asked_at": [NOW],
        "tenant": ["acme"],
        "id": ["1"],
        "plan": ["team"],
        "share_ratio": [0.5],
        "suspended": pd.array([True], "boolean"),
        "namespace": ["tenant-acme"],
        "phase": ["Suspended"],
        "ready_at": [at(10)],
        "ready_message": ["refused"],
        "deletion_requested_at": pd.array([pd.NaT], "datetime64[us, UTC]"),
    }
)
DONE, MISSING, WAITS = (True, True, 29), (False, False, None), (True, False, 28)


def test_the_first_step_without_a_result_counts_and_is_dated_by_the_one_before():
    [found] = provisioning.every_tenant_is_provisioned(steps(DONE, MISSING, MISSING), TENANTS).to_dict("records")
    assert (found["number"], found["since_at"], found["never_done"]) == (2, at(29), True)
    assert found["said"] == "refused"


def test_the_very_first_step_is_dated_by_the_tenant():
    [found] = provisioning.every_tenant_is_provisioned(steps(MISSING, created=7), TENANTS).to_dict("records")
    assert found["since_at"] == at(7)


def test_what_is_there_and_not_ready_says_why():
    [found] = provisioning.every_tenant_is_provisioned(steps(DONE, WAITS), TENANTS).to_dict("records")
    assert (found["what"], found["reason"]) == ("services is not ready", "it waits; ")


def test_an_object_that_was_removed_later_has_no_time_and_is_less_severe():
    [found] = provisioning.every_tenant_is_provisioned(steps(DONE, MISSING, DONE), TENANTS).to_dict("records")
    assert pd.isna(found["since_at"])
    assert not found["never_done"]
    assert "was removed" in found["what"]


@pytest.mark.parametrize(
    "quiet",
    [
        steps(DONE, DONE),
        steps((True, True, 0.5), MISSING, created=0.6),  # it has only begun
        steps(DONE, WAITS, was_done=True),  # it worked, and broke: section 6
    ],
)
def test_provisioning_that_works_is_quiet(quiet):
    assert provisioning.every_tenant_is_provisioned(quiet, TENANTS).empty


def use(share=0.9, tenants=3, per_s=100.0, window="incident", resource="ingestion"):
    row = {"instance": "main", "asked_at": NOW, "window": window, "resource": resource, "tenant": "acme"}
    numbers = {"used": per_s * 1800, "used_per_s": per_s, "used_by_all": per_s * 1800 / share, "share_ratio": share}
    return pd.DataFrame([row | numbers | {"tenants": tenants}])


def test_a_share_is_compared_with_the_baseline():
    rows = pd.concat([use(), use(0.2, window="baseline")], ignore_index=True)
    [found] = shares.no_tenant_uses_more_than_its_share(rows, TENANTS).to_dict("records")
    assert found["before"] == "20 % in the baseline"


@pytest.mark.parametrize("quiet", [use(0.4), use(tenants=2), use(per_s=2.0), use(window="baseline")])
def test_a_share_within_the_plan_or_of_little_is_quiet(quiet):
    assert shares.no_tenant_uses_more_than_its_share(quiet, TENANTS).empty


@pytest.mark.parametrize(("minutes", "found"), [(9, 0), (4, 1), (12, 0)])
def test_lines_from_before_a_tenant_was_suspended_do_not_count(minutes, found):
    """It was suspended 10 minutes ago, and a rate looks back for 5."""
    row = {"instance": "main", "asked_at": NOW, "window": "incident", "at": at(minutes), "tenant": "acme"}
    rows = pd.DataFrame([row | {"accepted_per_s": 3.0}])
    assert len(suspended.suspended_tenants_write_nothing(rows, TENANTS)) == found


def test_pods_that_are_being_deleted_do_not_run():
    pod = {"instance": "main", "asked_at": NOW, "namespace": "tenant-acme", "pod": "p", "phase": "Running"}
    pods = pd.DataFrame(
        [pod | {"deletion_requested_at": NOW}, pod | {"namespace": "tenant-other", "deletion_requested_at": pd.NaT}]
    )
    assert suspended.suspended_tenants_run_no_pod(TENANTS, pods).empty


def test_without_a_list_of_tenants_no_key_is_an_orphan():
    keys = pd.DataFrame(
        {"instance": ["main"], "asked_at": [NOW], "pattern": ["p"], "tenant": ["1"], "by_number": [True], "keys": [1]}
    )
    nobody = pd.DataFrame({"id": pd.Series(dtype=str), "tenant": pd.Series(dtype=str)})
    with pytest.raises(Unseen):
        leftovers.no_key_is_left_of_a_tenant(keys, nobody)


def test_refusals_of_another_cause_are_none_of_a_quota():
    case = recorded_case("quota_exhausted")
    events, spaces = case.read("k8s_events").whole_rows, case.read("k8s_tenant_namespaces").whole_rows
    assert list(quotas.no_quota_rejects_a_pod_of_a_tenant(events, spaces).tenant) == ["globex"]
    others = events.assign(message=events.message.str.replace("exceeded quota", "denied by a webhook"))
    assert quotas.no_quota_rejects_a_pod_of_a_tenant(others, spaces).empty


@pytest.mark.parametrize("story", ["tenant_stuck_quota", "tenant_stuck_workload", "quota_exhausted", "noisy_tenant"])
def test_tenants_of_a_platform_that_is_well_are_separated(story):
    case = recorded_case(story)
    ends, rules = (case.read(name).whole_rows for name in ("k8s_tenant_ends", "k8s_policy_rules"))
    assert isolation.no_tenant_reaches_another(ends, rules).empty
    assert isolation.tenants_deny_by_default(ends, rules).empty
    assert isolation.rows_of_tenants_are_separated(case.read("pg_tenant_tables").whole_rows).empty
