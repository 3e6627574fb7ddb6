"""Rules about the way of a request: service, endpoints, ingress, network policy."""

import pandas as pd

from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check

RETIRED_CONTROLLER = "k8s.io/ingress-nginx"


def _selecting(k8s_services: pd.DataFrame) -> pd.DataFrame:
    """Services whose endpoints are the pods that they select."""
    return k8s_services[(k8s_services.selector != "") & (k8s_services.type != "ExternalName")]


@check(
    section="02",
    severity="critical",
    subject="{instance}: {namespace}/{name}",
    because="has no ready endpoint, not ready: {endpoints}; {why}",
    guide=("C019", "C022", "C026", "C051", "C131"),
)
def every_service_has_a_ready_endpoint(k8s_services, k8s_deployments, *, young_s=60):
    """Every service that selects pods has an endpoint that is ready.

    Otherwise requests to it are refused. Its selector matches no pod, or its pods are not ready. A note where a deployment
    of its name is scaled to zero, which somebody wanted. Those that are younger than 60 s are left out.
    """
    rows = _selecting(k8s_services)
    rows = rows[(rows.endpoints_ready == 0) & (seconds_since(rows.created_at, rows) >= young_s)]
    zero = k8s_deployments[k8s_deployments.replicas == 0].set_index(["instance", "namespace", "name"]).index
    wanted = pd.MultiIndex.from_frame(rows[["instance", "namespace", "name"]]).isin(zero)
    none = rows.pods_selected == 0
    why = pd.Series("none of its pods is ready (pods: " + rows.pods_selected.astype("str") + ")", index=rows.index)
    why = why.mask(none, "no pod has the labels " + rows.selector).mask(wanted, "its deployment is scaled to zero")
    severity = pd.Series("critical", index=rows.index).mask(wanted, "note")
    return rows.assign(why=why, severity=severity).sort_values(["severity", "namespace"])


@check(
    section="02",
    severity="critical",
    subject="{instance}: {namespace}/{name}",
    because="leads to the port {named_ports_missing}, which none of its {pods_selected} pods has (ports {ports})",
    guide=("C019", "C051", "C131"),
)
def every_service_leads_to_a_port(k8s_services):
    """Every port of a service that is given by name is one that its pods have.

    Otherwise there are ready pods, and no request gets to them. Ports that are given by number need not be declared, so they
    can't be judged.
    """
    rows = _selecting(k8s_services)
    return rows[(rows.named_ports_missing != "") & (rows.pods_selected > 0)]


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="rests on a single pod",
    guide=("C019",),
)
def no_service_rests_on_one_pod(k8s_services):
    """Every service that selects pods has two endpoints at least.

    With one, each restart and each move of it is an outage. Popeye's rule 1109.
    """
    rows = _selecting(k8s_services)
    return rows[(rows.endpoints == 1) & (rows.endpoints_ready == 1) & (rows.cluster_ip != "None")]


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{name}: {host}{path}",
    because="leads to service {service} port {port}, but {why}",
    guide=("C057", "C058", "C059"),
)
def every_ingress_leads_to_a_service(k8s_ingresses, k8s_services):
    """Every rule of an ingress leads to a service that is there, has that port, and has a ready endpoint.

    Otherwise the controller answers 503, or 404. Judged is only what leads to a service of the namespaces that were looked into.
    """
    keys = ["instance", "namespace", "service"]
    services = k8s_services.rename(columns={"name": "service"})[[*keys, "ports", "type", "selector", "endpoints_ready"]]
    rows = k8s_ingresses[k8s_ingresses.service != ""].merge(services, on=keys, how="left")
    gone = rows.ports.isna()
    listed = [_port_is_listed(port, ports) for port, ports in zip(rows.port, rows.ports.fillna(""), strict=True)]
    no_port = ~gone & ~pd.Series(listed, index=rows.index, dtype=bool)
    idle = ~gone & (rows.type != "ExternalName") & (rows.endpoints_ready == 0).fillna(False)
    why = pd.Series("it has no ready endpoint", index=rows.index, dtype="str")
    why = why.mask(no_port, "that has only " + rows.ports.fillna("")).mask(gone, "there is no such service")
    return rows.assign(why=why)[gone | no_port | idle]


def _port_is_listed(port: str, ports: str) -> bool:
    """Whether `http` or `80` is one of `http:80→8080/TCP, :443→8443/TCP`."""
    return any(port in one.partition("→")[0].split(":") for one in ports.split(", "))


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="is for the class {wanted}, {why}",
    guide=("C058",),
)
def every_ingress_has_a_controller(k8s_ingresses, k8s_ingress_classes):
    """Every ingress is of a class that there is, or there is a default one.

    Otherwise no controller takes it, and its addresses lead nowhere. Popeye's rule 1403.
    """
    known = k8s_ingress_classes.groupby("instance").name.agg(set)
    default = k8s_ingress_classes[k8s_ingress_classes.is_default].groupby("instance").name.agg(set)
    rows = k8s_ingresses.drop_duplicates(["instance", "namespace", "name"])
    of_class = [
        name in known.get(instance, set()) if name else bool(default.get(instance))
        for name, instance in zip(rows.class_name, rows.instance, strict=True)
    ]
    rows = rows[~pd.Series(of_class, index=rows.index, dtype=bool)]
    unnamed = rows.class_name == ""
    why = unnamed.map({True: "and no class is the default", False: "which does not exist"})
    return rows.assign(wanted=rows.class_name.mask(unnamed, "(none)"), why=why)


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="is served by ingress-nginx, which got its last fixes in March 2026",
    guide=("C056",),
)
def no_ingress_controller_is_retired(k8s_ingress_classes):
    """No ingress class is served by ingress-nginx.

    The Kubernetes project ended it in March 2026, security fixes too: move to another controller or to the Gateway API.
    """
    return k8s_ingress_classes[k8s_ingress_classes.controller == RETIRED_CONTROLLER]


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="its selector {selector} finds no pod, so it protects nothing",
    guide=("C054",),
)
def every_network_policy_finds_pods(k8s_network_policies):
    """Every network policy is about at least one pod.

    Popeye's rule 1200. Whether policies are enforced depends on the network plugin.
    """
    return k8s_network_policies[k8s_network_policies.pods_selected == 0]


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="lets {pods_selected} pods send to the ports {egress_ports} only: not to DNS (53/UDP)",
    guide=("C054",),
)
def network_policies_allow_dns(k8s_network_policies):
    """Every network policy that limits what pods may send allows DNS.

    Without it no name is resolved, which looks like an outage of everything else. That a policy allows nothing at all is meant so,
    and another one may allow what this one doesn't: only pods with a single policy of the namespace are judged.
    """
    rows = k8s_network_policies[k8s_network_policies.limits_egress]
    alone = rows.groupby(["instance", "namespace"]).name.transform("size") == 1
    without = (rows.egress_ports != "") & ~rows.egress_ports.str.contains(r"\b53/UDP", regex=True)
    return rows[alone & without & (rows.pods_selected > 0).fillna(False)]
