"""Alertmanager, by version 2 of its API."""

from typing import TYPE_CHECKING

from nl_forensics.connect.http import JsonLink, base_of
from nl_forensics.errors import BadAnswer
from nl_forensics.inputs.platform import Budget, Endpoint

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

STATUS = "/api/v2/status"


def connect(address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None) -> "AlertmanagerLink":
    """Ask one Alertmanager for its identity."""
    url = base_of(address, "an Alertmanager", "http://host:9093, or https://user:password@host/prefix")
    return AlertmanagerLink(url, budget, forward)


class AlertmanagerLink(JsonLink):
    """The HTTP API of one Alertmanager, read only."""

    def __init__(self, url: str, budget: Budget, forward: "Forward | None"):
        super().__init__("Alertmanager", url, budget, forward)
        status = self.get(STATUS)
        if not isinstance(status, dict) or "versionInfo" not in status:
            raise BadAnswer("the JSON is not that of Alertmanager", "check the address, with its path prefix")
        self.identity = {"version": status["versionInfo"]["version"]}
        self.clock = self.measured_clock(STATUS)
        self.settle(budget)
