"""Grafana, by its HTTP API. A token of a service account is given as a password: `https://api_key:TOKEN@host`."""

from typing import TYPE_CHECKING

from nl_forensics.connect.http import JsonLink, base_of
from nl_forensics.errors import BadAnswer
from nl_forensics.inputs.platform import Budget, Endpoint

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

HEALTH = "/api/health"
UNHEALTHY = (503,)


def connect(address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None) -> "GrafanaLink":
    """Ask one Grafana for its identity."""
    return GrafanaLink(base_of(address, "a Grafana", "https://api_key:TOKEN@host/prefix"), budget, forward)


class GrafanaLink(JsonLink):
    """The HTTP API of one Grafana, read only."""

    def __init__(self, url: str, budget: Budget, forward: "Forward | None"):
        super().__init__("Grafana", url, budget, forward)
        health = self.get(HEALTH, also=UNHEALTHY)
        if not isinstance(health, dict) or "database" not in health:
            raise BadAnswer("the JSON is not that of Grafana", "check the address, with its path prefix")
        self.identity = {"version": health.get("version", "")}
        self.clock = self.measured_clock(HEALTH)
        self.settle(budget)
