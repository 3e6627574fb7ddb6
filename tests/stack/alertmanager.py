"""Alertmanager, alone or with peers."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import requests

from tests.stack.process import HOST, Process, free_port, new_folder, program

NOBODY = {"name": "nobody"}
PEER_SETTLES_S = 60


@dataclass(kw_only=True)
class Alertmanager(Process):
    cluster_port: int = 0

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def answers(self):
        try:
            return requests.get(f"{self.url}/-/ready", timeout=1).ok
        except requests.RequestException:
            return False

    def configure(self, **configuration):
        """Replace its configuration, and let it be read."""
        _write(self.folder, configuration)
        requests.post(f"{self.url}/-/reload", timeout=5)

    def alerts(self):
        """What it knows to be firing."""
        return requests.get(f"{self.url}/api/v2/alerts", timeout=5).json()

    def post_alerts(self, *alerts):
        """Tell it that these are firing: label sets."""
        self._post("alerts", [{"labels": labels} for labels in alerts])

    def silence(self, by, comment, minutes=60, **labels):
        """Silence what has these labels, from now on: Alertmanager takes no beginning in the past."""
        now = datetime.now(UTC)
        matchers = [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in labels.items()]
        until = now + timedelta(minutes=minutes)
        window = {"startsAt": now.isoformat(), "endsAt": until.isoformat()}
        self._post("silences", {"matchers": matchers, **window, "createdBy": by, "comment": comment})

    def _post(self, what, body):
        requests.post(f"{self.url}/api/v2/{what}", json=body, timeout=5).raise_for_status()


def start(peers=(), **configuration):
    """Start one. `peers`: ports of the clusters of others; `configuration`: as in its file, by default nobody is told."""
    folder, port, cluster_port = new_folder("alertmanager"), free_port(), free_port()
    _write(folder, configuration)
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.json'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        f"--cluster.listen-address={HOST}:{cluster_port}",
        f"--cluster.settle-timeout={PEER_SETTLES_S}s",
        *(f"--cluster.peer={HOST}:{peer}" for peer in peers),
        "--log.level=warn",
    ]
    return Alertmanager(command=command, folder=folder, port=port, cluster_port=cluster_port).start()


def _write(folder, configuration):
    whole = {"route": {"receiver": "nobody"}, "receivers": [NOBODY]} | configuration
    (folder / "alertmanager.json").write_text(json.dumps(whole))  # JSON is YAML
