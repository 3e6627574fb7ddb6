"""Rules about what asks to be scraped: it is."""

from nl_forensics.checks.rule import check


@check(
    section="10",
    severity="medium",
    subject="{kind} {namespace}/{name}",
    because="{fault}",
    guide=("C120",),
)
def every_monitor_selects_something(k8s_scrape_requests):
    """Every ServiceMonitor and PodMonitor selects something that has the port which it names.

    Labels, namespace, or the name of a port that is not the same on both sides: no error anywhere, and no target.
    """
    rows = k8s_scrape_requests[k8s_scrape_requests.kind.isin(["ServiceMonitor", "PodMonitor"])]
    nothing = "selects nothing: no labels in its namespaces are those that it asks for"
    faults = [
        nothing if row.selected == 0 else f"what it selects has no port called {row.missing_ports}"
        for row in rows.itertuples()
    ]
    return rows.assign(fault=faults)[(rows.selected == 0) | (rows.missing_ports != "")]


@check(
    section="10",
    severity="medium",
    subject="{kind} {namespace}/{name}",
    because="asks to be scraped, and Prometheus has none of its {ready} ready pods as a target",
    guide=("C120",),
)
def what_asks_to_be_scraped_is(k8s_scrape_requests, prom_targets):
    """Whatever asks to be scraped and is ready is a target of Prometheus.

    By address, or by the labels namespace and pod. What is not scraped has no series, so no alert of it can fire.
    """
    addresses = {address.rpartition(":")[0].strip("[]") for address in prom_targets.address}
    pods = {f"{row.namespace}/{row.pod}" for row in prom_targets.itertuples() if row.pod}
    ready = [
        (set(row.ready_addresses.split()), set(row.ready_pods.split())) for row in k8s_scrape_requests.itertuples()
    ]
    unseen = [bool(there) and not there & addresses and not names & pods for there, names in ready]
    return k8s_scrape_requests.assign(ready=[len(names) for _, names in ready])[unseen]
