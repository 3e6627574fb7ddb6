"""The cluster's DNS server, asked directly: addresses of names, over UDP."""

import ipaddress
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from nl_forensics.errors import BadAnswer, NotConfigured, NotReachable
from nl_forensics.inputs.platform import Budget, DnsEndpoint

PORT = 53
KINDS = ("A", "AAAA")
ALWAYS_THERE = "kubernetes.default"  # the API server's own service


def connect(address: str, endpoint: DnsEndpoint, budget: Budget) -> "DnsLink":
    """Ask for a name that every cluster has: any answer is one."""
    host, _, port = address.partition(":") if address.count(":") == 1 else (address, "", "")
    if not _is_address(host) or not (port or "53").isdigit():
        raise NotConfigured(
            "the address is not that of a DNS server", "that of the service kube-dns: 10.96.0.10, or 10.96.0.10:53"
        )
    link = DnsLink(host, int(port or PORT), endpoint.domain, budget.connect_s)
    try:
        link.ask(*ALWAYS_THERE.split("."))
    except (dns.exception.Timeout, OSError) as error:
        raise NotReachable(
            _in_words(error), "see whether it can be reached from here: it is inside the cluster"
        ) from None
    except dns.exception.DNSException as error:
        raise BadAnswer(f"the answer is none of DNS ({type(error).__name__})", "check the address") from None
    return link


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class DnsLink:
    """One DNS server, and the domain of its cluster."""

    def __init__(self, host: str, port: int, domain: str, within_s: float):
        self._where, self._domain, self._within_s = (host, port), domain, within_s
        self.identity: dict[str, str] = {}
        self.clock = None  # DNS has no question for the time

    def name_of(self, service: str, namespace: str) -> str:
        """The whole name, with the dot that ends it: no search domain is tried."""
        return f"{service}.{namespace}.svc.{self._domain}."

    def ask(self, service: str, namespace: str) -> dict:
        """Its code and its addresses. Raises what the client raises."""
        found: list[str] = []
        code = ""
        for kind in KINDS:
            query = dns.message.make_query(self.name_of(service, namespace), kind)
            answer = dns.query.udp(query, self._where[0], self._within_s, self._where[1])
            code = code or dns.rcode.to_text(answer.rcode())
            found += [
                str(one) for part in answer.answer for one in part if part.rdtype == dns.rdatatype.from_text(kind)
            ]
        return {"rcode": code, "addresses": ", ".join(sorted(found))}

    def look_up(self, service: str, namespace: str) -> dict:
        """The same as a record: a failure is recorded, never raised."""
        began, why, facts = time.monotonic(), "", {"rcode": "", "addresses": ""}
        try:
            facts = self.ask(service, namespace)
        except (dns.exception.DNSException, OSError) as error:
            why = _in_words(error)
        return {
            "name": self.name_of(service, namespace),
            "why": why,
            "took_ms": (time.monotonic() - began) * 1000,
        } | facts

    def close(self) -> None:
        """Each question has a socket of its own."""


def _in_words(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, OSError):
        return str(error.strerror or error).lower()
    return f"the answer is none of DNS ({type(error).__name__})"
