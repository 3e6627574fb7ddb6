"""Tells Prometheus which pods there are. Debian's was built without its own discovery of them: it reads a file of ours."""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.stack.kubernetes.api import Api, Refused
from tests.stack.neurallog.manifests import PORT
from tests.stack.process import Process, new_folder

TOP = Path(__file__).parents[3]
TARGETS = "targets.json"
LOOK_EVERY_S = 1
MONITORS = "/apis/monitoring.coreos.com/v1/servicemonitors"


@dataclass(kw_only=True)
class Discovery(Process):
    """It counts as started once it has written its file."""

    @property
    def targets(self):
        return self.folder / TARGETS

    def answers(self):
        return self.targets.exists()


def start(cluster):
    command = [sys.executable, "-m", __name__, cluster.kubeconfig()]
    environment = {"PYTHONPATH": str(TOP)}
    return Discovery(command=command, folder=new_folder("discovery"), port=0, environment=environment).start()


def targets_of(pods, services=(), monitors=()):
    """What is to be scraped, as Prometheus' file_sd wants it: pods that have an address, and that ask for it or are behind a service that
    a ServiceMonitor of their namespace selects by its labels, by a port that it has.
    """
    monitored = [one for one in services if any(_selects(monitor, one) for monitor in monitors)]
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{PORT}"],
            "labels": {
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "app": pod["metadata"].get("labels", {}).get("app", ""),
            },
        }
        for pod in pods
        if pod["status"].get("podIP")
        and pod["status"]["phase"] == "Running"
        and (_asks(pod) or any(_is_behind(service, pod) for service in monitored))
    ]


def _asks(pod):
    return pod["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true"


def _selects(monitor, service):
    spec, metadata = monitor["spec"], service["metadata"]
    asked = {endpoint["port"] for endpoint in spec["endpoints"]}
    return (
        monitor["metadata"]["namespace"] == metadata["namespace"]
        and spec["selector"]["matchLabels"].items() <= metadata.get("labels", {}).items()
        and bool(asked & {port.get("name") for port in service["spec"]["ports"]})
    )


def _is_behind(service, pod):
    wanted = service["spec"].get("selector") or {}
    same_namespace = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return bool(wanted) and same_namespace and wanted.items() <= pod["metadata"].get("labels", {}).items()


def _monitors(api):
    """A cluster knows no ServiceMonitors before somebody defines them."""
    try:
        return api.request("GET", MONITORS)["items"]
    except Refused as refused:
        if refused.status == 404:
            return []
        raise


def main(api):
    written = None
    while True:
        # While the API server does not answer, the pods that were known are scraped on.
        with suppress(requests.RequestException, Refused):
            found = json.dumps(targets_of(api.get("Pod"), api.get("Service"), _monitors(api)))
            if found != written:
                unfinished = Path(f"{TARGETS}.new")
                unfinished.write_text(found)
                unfinished.rename(TARGETS)
                written = found
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main(Api.of_kubeconfig(Path(sys.argv[1])))
