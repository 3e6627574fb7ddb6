"""Rules about the objects of operators (tenants, certificates, gateways, backups), and about namespaces."""

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check


@check(
    section="06",
    severity="high",
    subject="{instance}: {kind} {where}",
    because="unready since {since_at:%Y-%m-%d %H:%M:%S} UTC ({unready_s:seconds}, limit {max_s:seconds}); {reasons}: {said}",
    at="since_at",
    guide=("C062", "C126"),
)
def every_object_of_an_operator_is_ready(k8s_custom, *, max_s=300):
    """No object of an operator (tenant, certificate, gateway, monitor, backup) is unready for {max_s:seconds}.

    The operator's message gives the reason. Objects with a condition Ready (else Available or Programmed) that are neither suspended nor
    being deleted are judged. 5 minutes: a choice of ours.
    """
    rows = k8s_custom[k8s_custom.deletion_requested_at.isna() & (k8s_custom.phase != "Suspended")]
    rows = rows[rows.reports_ready]
    rows = rows[~rows.ready]
    rows = rows.assign(
        since_at=rows.ready_at.fillna(rows.created_at),
        where=(rows.namespace + "/").where(rows.namespace != "", "") + rows.name,
        reasons=rows.failing.where(rows.failing != "", rows.ready_reason),
        said=one_line(rows.ready_message).replace("", "no message"),
    )
    rows = rows.assign(unready_s=seconds_since(rows.since_at, rows))
    return rows[rows.unready_s >= max_s].sort_values("unready_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {name}",
    because="being deleted since {deletion_requested_at:%Y-%m-%d %H:%M:%S} UTC ({waits_s:seconds}, limit {max_s:seconds}); {said}",
    at="deletion_requested_at",
    guide=("C126",),
)
def no_namespace_hangs_in_deletion(k8s_namespaces, *, max_s=300):
    """Every deleted namespace is gone within {max_s:seconds}.

    A finalizer waits for an operator that is gone, or an API group is unavailable, so that its remaining objects can't be listed. A tenant
    of that name can't be created again. 5 minutes: a choice of ours.
    """
    rows = k8s_namespaces[k8s_namespaces.deletion_requested_at.notna()]
    said = one_line(rows.why).replace("", "no reason given")
    rows = rows.assign(waits_s=seconds_since(rows.deletion_requested_at, rows), said=said)
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)
