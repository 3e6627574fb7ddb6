"""Rules about the path of a request: service, endpoints, ingress, network policy."""

import pandas as pd

from nl_forensics.checks.rows import counted, seconds_since
from nl_forensics.checks.rule import check

RETIRED_CONTROLLER = "k8s.io/ingress-nginx"


def _selecting(k8s_services: pd.DataFrame) -> pd.DataFrame:
    """Services that select pods as their endpoints."""
    return k8s_services[(k8s_services.selector != "") & (k8s_services.type != "ExternalName")]


@check(
    section="02",
    severity="critical",
    subject="{instance}: {namespace}/{name}",
    note="is_scaled_to_zero",
    because="0 ready endpoints ({why})",
    guide=("C019", "C022", "C026", "C051", "C131"),
)
def every_service_has_a_ready_endpoint(k8s_services, k8s_deployments, *, young_s=60):
    """Every service that selects pods has a ready endpoint.

    Otherwise its connections are refused. Its selector matches no pod, or its pods are unready. A note where a deployment of its name is
    scaled to zero on purpose. Services younger than 60 s are left out.
    """
    rows = _selecting(k8s_services)
    rows = rows[(rows.endpoints_ready == 0) & (seconds_since(rows.created_at, rows) >= young_s)]
    zero = k8s_deployments[k8s_deployments.replicas == 0].set_index(["instance", "namespace", "name"]).index
    wanted = pd.MultiIndex.from_frame(rows[["instance", "namespace", "name"]]).isin(zero)
    none = rows.pods_selected == 0
    why = counted(rows.pods_selected, "pod") + ", none ready"
    why = why.mask(none, "no pod has the labels " + rows.selector).mask(wanted, "its deployment is scaled to zero")
    return rows.assign(why=why, is_scaled_to_zero=wanted).sort_values("namespace")


@check(
    section="02",
    severity="critical",
    subject="{instance}: {namespace}/{name}",
    because="target port {named_ports_missing} is not declared by its pods (pods: {pods_selected}); ports: {ports}",
    guide=("C019", "C051", "C131"),
)
def every_service_leads_to_a_port(k8s_services):
    """The pods of every service declare all its named target ports.

    Otherwise the pods are ready, and no request reaches them. Numbered ports need no declaration, so they can't be judged.
    """
    rows = _selecting(k8s_services)
    return rows[(rows.named_ports_missing != "") & (rows.pods_selected > 0)]


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="has only 1 pod",
    guide=("C019",),
)
def no_service_rests_on_one_pod(k8s_services):
    """Every service that selects pods has at least two endpoints.

    With one, each restart and each move of the pod is an outage. Popeye's rule 1109.
    """
    rows = _selecting(k8s_services)
    return rows[(rows.endpoints == 1) & (rows.endpoints_ready == 1) & (rows.cluster_ip != "None")]


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{name}: {host}{path}",
    because="backend {service}:{port}: {why}",
    guide=("C057", "C058", "C059"),
)
def every_ingress_leads_to_a_service(k8s_ingresses, k8s_services):
    """Every backend of an ingress is an existing service with that port and a ready endpoint.

    Otherwise the controller answers 503 or 404. Only backends in the namespaces in scope are judged.
    """
    keys = ["instance", "namespace", "service"]
    services = k8s_services.rename(columns={"name": "service"})[[*keys, "ports", "type", "selector", "endpoints_ready"]]
    rows = k8s_ingresses[k8s_ingresses.service != ""].merge(services, on=keys, how="left")
    gone = rows.ports.isna()
    listed = [_port_is_listed(port, ports) for port, ports in zip(rows.port, rows.ports.fillna(""), strict=True)]
    no_port = ~gone & ~pd.Series(listed, index=rows.index, dtype=bool)
    idle = ~gone & (rows.type != "ExternalName") & (rows.endpoints_ready == 0)
    why = pd.Series("no ready endpoint", index=rows.index, dtype="str")
    why = why.mask(no_port, "the service has only the ports " + rows.ports.fillna("")).mask(gone, "no such service")
    return rows.assign(why=why)[gone | no_port | idle]


def _port_is_listed(port: str, ports: str) -> bool:
    """Whether `http` or `80` is one of `http:80→8080/TCP, :443→8443/TCP`."""
    return any(port in one.partition("→")[0].split(":") for one in ports.split(", "))


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="served by no controller: {why}",
    guide=("C058",),
)
def every_ingress_has_a_controller(k8s_ingresses, k8s_ingress_classes):
    """Every ingress has an existing class, or there is a default class.

    Otherwise no controller serves it, and its addresses have no backend. Popeye's rule 1403.
    """
    known = k8s_ingress_classes.groupby("instance").name.agg(set)
    default = k8s_ingress_classes[k8s_ingress_classes.is_default].groupby("instance").name.agg(set)
    rows = k8s_ingresses.drop_duplicates(["instance", "namespace", "name"])
    of_class = [
        name in known.get(instance, set()) if name else bool(default.get(instance))
        for name, instance in zip(rows.class_name, rows.instance, strict=True)
    ]
    rows = rows[~pd.Series(of_class, index=rows.index, dtype=bool)]
    missing = "ingress class " + rows.class_name + " does not exist"
    return rows.assign(why=missing.mask(rows.class_name == "", "it names no ingress class, and none is the default"))


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="served by ingress-nginx, which is retired and has had no fixes since March 2026",
    guide=("C056",),
)
def no_ingress_controller_is_retired(k8s_ingress_classes):
    """No ingress class is served by the retired ingress-nginx.

    The Kubernetes project ended it in March 2026, including security fixes: migrate to another controller or to the Gateway API.
    """
    return k8s_ingress_classes[k8s_ingress_classes.controller == RETIRED_CONTROLLER]


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="selector {selector} matches no pod, so it has no effect",
    guide=("C054",),
)
def every_network_policy_finds_pods(k8s_network_policies):
    """Every network policy selects at least one pod.

    Popeye's rule 1200. Whether policies are enforced depends on the network plugin.
    """
    return k8s_network_policies[k8s_network_policies.pods_selected == 0]


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="blocks DNS (53/UDP) for its pods (pods: {pods_selected}); it allows egress to {egress_ports} only",
    guide=("C054",),
)
def network_policies_allow_dns(k8s_network_policies):
    """Every network policy that restricts egress allows DNS.

    Without DNS no name is resolved, which resembles an outage of every dependency. A policy that allows nothing at all is deliberate, and
    another one may allow DNS: only namespaces with a single egress policy are judged.
    """
    rows = k8s_network_policies[k8s_network_policies.limits_egress]
    alone = rows.groupby(["instance", "namespace"]).name.transform("size") == 1
    without = (rows.egress_ports != "") & ~rows.egress_ports.str.contains(r"\b53/UDP", regex=True)
    return rows[alone & without & (rows.pods_selected > 0)]
