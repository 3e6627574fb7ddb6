"""The cluster's DNS: a server that answers over UDP, and what it says against what Kubernetes says."""

import pandas as pd
import pytest

from nl_forensics import checks
from nl_forensics.connect import open_link
from nl_forensics.errors import BadAnswer, NotConfigured, NotReachable
from nl_forensics.inputs.platform import Budget, DnsEndpoint
from nl_forensics.units import Wording
from tests.asking import ask, offenders
from tests.checks.test_kubernetes_checks import rows
from tests.stack.kubernetes import dns
from tests.stack.process import HOST, free_port

CHECK = "names_lead_where_kubernetes_says"
OURS = {"namespace": "neurallog-system", "name": "auth-service", "type": "ClusterIP"}
POD = {"namespace": "neurallog-system", "service": "auth-service", "address": "10.1.0.7", "ready": True}


def link(address):
    return open_link("dns", address, DnsEndpoint(endpoint="X"), Budget(connect_s=0.5))


def found(answer, cluster_ip="10.96.0.7", pods=(POD,), kind="ClusterIP"):
    """What is told where the name leads to `answer`, and Kubernetes says this."""
    with dns.serving(auth_service=answer) as server:
        if not answer:
            server.names.popitem()
        table = ask(link(server.address), "dns_names").table
    services = rows("k8s_services", OURS | {"cluster_ip": cluster_ip, "type": kind})
    told = offenders(CHECK, table, services, rows("k8s_endpoints", *pods))
    return [Wording(checks.load()[CHECK].because).of(row) for row in told.to_dict("records")][:1]


def test_five_look_ups_of_each_service():
    with dns.serving(auth_service="10.96.0.7") as server:
        heard = ask(link(server.address), "dns_names")
    assert heard.table.attempt.tolist() == [1, 2, 3, 4, 5]
    assert set(heard.table.name) == {"auth-service.neurallog-system.svc.cluster.local."}
    assert set(heard.table.addresses) == {"10.96.0.7"}
    assert "1 services" in heard.proof


def test_a_name_leads_to_its_service():
    assert found("10.96.0.7") == []
    [said] = found("10.96.0.8")
    assert said == "5 of 5 lookups failed; NOERROR, resolves to 10.96.0.8, Kubernetes has 10.96.0.7"
    [said] = found("")
    assert said == "5 of 5 lookups failed; NXDOMAIN, resolves to nothing, Kubernetes has 10.96.0.7"


def test_a_headless_service_leads_to_its_ready_pods():
    assert found("10.1.0.7", "None") == []
    assert found("10.1.0.8", "None")
    assert found("10.1.0.7", "None", pods=[POD | {"ready": False}])


def test_another_name_and_a_service_that_there_is_not_are_not_judged():
    assert found("10.96.0.8", "", kind="ExternalName") == []
    with dns.serving(auth_service="10.96.0.7") as server:
        table = ask(link(server.address), "dns_names").table
    other = rows("k8s_services", OURS | {"name": "other", "cluster_ip": "10.96.0.9"})
    assert offenders(CHECK, table, other, rows("k8s_endpoints")).empty


def test_a_look_up_without_an_answer_is_told():
    with dns.serving(auth_service="10.96.0.7") as server:
        opened = link(server.address)
        table = ask(opened, "dns_names").table
    late = ask(opened, "dns_names").table.head(1)  # the server is gone
    assert late.why.iloc[0] in ("no answer in time", "connection refused")
    table = pd.concat([late, table.tail(4)])
    services = rows("k8s_services", OURS | {"cluster_ip": "10.96.0.7"})
    told = offenders(CHECK, table, services, rows("k8s_endpoints"))
    assert (told.failures.tolist(), told.attempts.tolist()) == ([1], [5])
    assert told.severity.tolist() == ["high"]  # the next look-up is answered


def test_a_service_that_nobody_finds_is_critical():
    with dns.serving(auth_service="10.96.0.7") as server:
        table = ask(link(server.address), "dns_names").table
    services = rows("k8s_services", OURS | {"cluster_ip": "10.96.0.8"})
    assert set(offenders(CHECK, table, services, rows("k8s_endpoints")).severity) == {"critical"}


def test_a_server_that_knows_no_names():
    """As CoreDNS is when the API server does not let it in."""
    with dns.serving(auth_service="10.96.0.7") as server:
        server.names = None
        table = ask(link(server.address), "dns_names").table
    assert set(table.rcode) == {"SERVFAIL"}


@pytest.mark.parametrize("address", ["kube-dns", "10.96.0.10:x", "http://10.96.0.10", ""])
def test_an_address_that_is_none(address):
    with pytest.raises(NotConfigured):
        link(address)


def test_nobody_answers():
    with pytest.raises((NotReachable, BadAnswer)):
        link(f"{HOST}:{free_port()}")
