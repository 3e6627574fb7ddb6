"""Rules about scrape requests of the cluster (annotations, ServiceMonitors, PodMonitors): Prometheus follows them."""

from nl_forensics.checks.rule import check


@check(
    section="10",
    severity="medium",
    subject="{kind} {namespace}/{name}",
    because="{fault}",
    guide=("C120",),
)
def every_monitor_selects_something(k8s_scrape_requests):
    """Every ServiceMonitor and PodMonitor selects objects that have the port which it names.

    If labels, namespace or port name differ between both sides, there is no error and no target.
    """
    rows = k8s_scrape_requests[k8s_scrape_requests.kind.isin(["ServiceMonitor", "PodMonitor"])]
    nothing = "selects no object: no labels in its namespaces match its selector"
    faults = [
        nothing if row.selected == 0 else f"selected objects have no port named {row.missing_ports}"
        for row in rows.itertuples()
    ]
    return rows.assign(fault=faults)[(rows.selected == 0) | (rows.missing_ports != "")]


@check(
    section="10",
    severity="medium",
    subject="{kind} {namespace}/{name}",
    because="requests scraping, but none of its {ready} ready pods is a target of Prometheus",
    guide=("C120",),
)
def what_asks_to_be_scraped_is(k8s_scrape_requests, prom_targets):
    """Every ready pod that requests scraping is a target of Prometheus.

    Matched by address, or by the labels namespace and pod. Without a scrape there are no series, and no alert on them can fire.
    """
    addresses = {address.rpartition(":")[0].strip("[]") for address in prom_targets.address}
    pods = {f"{row.namespace}/{row.pod}" for row in prom_targets.itertuples() if row.pod}
    ready = [
        (set(row.ready_addresses.split()), set(row.ready_pods.split())) for row in k8s_scrape_requests.itertuples()
    ]
    unseen = [bool(there) and not there & addresses and not names & pods for there, names in ready]
    return k8s_scrape_requests.assign(ready=[len(names) for _, names in ready])[unseen]
