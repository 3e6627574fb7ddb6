"""Rules about what containers may do on their node, and about the tokens that they get."""

import pandas as pd

from nl_forensics.checks.rows import counted
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.pod_security import baseline, restricted
from nl_forensics.facts.kubernetes.rbac import Access, Identity

WORKLOAD = ["instance", "namespace", "workload"]
MAX_NAMED = 3


@check(
    section="09",
    severity="high",
    critical="owns_node",
    note="only_reads",
    subject="{instance}: {namespace}/{workload}/{container}",
    because="breaks the level baseline: {broken}; pod {pod}",
    at="created_at",
    guide=("C115",),
)
def no_container_has_rights_on_its_node(k8s_pod_security):
    """No container is privileged, uses namespaces, folders or ports of its node, or has unusual capabilities.

    Level baseline of the Pod Security Standards. Critical where it controls the node, and with it every pod there: privileged,
    SYS_ADMIN, the socket of the runtime, a system folder that it can write to. A note where it only reads programs or data of the node.
    Exceptions: `access` in the platform file.
    """
    rows = baseline(k8s_pod_security[~k8s_pod_security.is_agent])
    return rows.sort_values("owns_node", ascending=False, kind="stable").drop_duplicates([*WORKLOAD, "container"])


@check(
    section="09",
    severity="note",
    subject="{instance}: {namespace}",
    because="{number} not at the level restricted, mostly: {broken}; {workloads}",
    guide=("C115",),
)
def containers_give_up_rights(k8s_pod_security):
    """Every container is at the level restricted of the Pod Security Standards.

    Another user than root, no escalation, no capabilities, the seccomp profile of the runtime: then a fault in a program stays inside its
    container. One line per namespace.
    """
    rows = restricted(k8s_pod_security[~k8s_pod_security.is_agent]).drop_duplicates([*WORKLOAD, "container"])
    found = rows.groupby(["instance", "namespace"], as_index=False).agg(
        containers=("container", "size"),
        broken=("broken", lambda said: said.mode().iloc[0]),
        workloads=("workload", lambda names: ", ".join(sorted(set(names))[:MAX_NAMED])),
        asked_at=("asked_at", "max"),
    )
    return found.assign(number=counted(found.containers, "container")).sort_values("containers", ascending=False)


@check(
    section="09",
    severity="note",
    subject="{instance}: {namespace}/{service_account}",
    because="its token is mounted into {number}, and no binding names it: {workloads}; fix: automountServiceAccountToken: false",
    guide=("C115",),
)
def tokens_are_mounted_where_they_are_used(k8s_pod_security, k8s_role_rules, k8s_bindings):
    """No pod has the token of a service account without rights.

    It gives every process in the pod an identity in the cluster; a binding that is added later to a group gives it rights.
    """
    rows = k8s_pod_security[k8s_pod_security.mounts_token & ~k8s_pod_security.is_agent]
    found = rows.groupby(["instance", "namespace", "service_account"], as_index=False).agg(
        pods=("pod", "nunique"),
        workloads=("workload", lambda names: ", ".join(sorted(set(names))[:MAX_NAMED])),
        asked_at=("asked_at", "max"),
    )
    known = {instance: Access.of(k8s_role_rules, k8s_bindings, instance) for instance in rows.instance.unique()}
    has_rights = [
        _has_own_rights(known[row.instance], row.namespace, row.service_account) for row in found.itertuples()
    ]
    found = found.assign(number=counted(found.pods, "pod"))[~pd.Series(has_rights, found.index, dtype=bool)]
    return found.sort_values("pods", ascending=False)


def _has_own_rights(access: Access, namespace: str, name: str) -> bool:
    """Rights beyond those of every authenticated identity."""
    who = Identity.of_account(namespace, name)
    return any(one.subject_kind == "ServiceAccount" and one.is_for(who) for one in access.bindings)
