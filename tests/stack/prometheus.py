"""Prometheus, scraping the exporters, with a past that was written before it started."""

import json
import signal
import time
from dataclasses import dataclass

import requests

from tests.stack.process import HOST, Process, ServerFailed, free_port, new_folder, program, run

# The PostgreSQL exporter labels its series with the server's address. Ours has another port each time, so the label
# is made from the instance's name: a series goes on from the past to the present, and looks as in production.
SERVER_LABEL = {
    "source_labels": ["server", "instance"],
    "regex": ".+;([^:]+).*",
    "target_label": "server",
    "replacement": "$1:5432",
}


@dataclass(frozen=True)
class Target:
    """Something to scrape: an exporter, and the labels `job` and `instance` that its series get."""

    job: str
    instance: str
    port: int


@dataclass(kw_only=True)
class Prometheus(Process):
    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def answers(self):
        try:
            return requests.get(f"{self.url}/-/ready", timeout=1).ok
        except requests.RequestException:
            return False

    def load(self, rules):
        """Replace the rules, {"groups": [...]}, while it runs."""
        (self.folder / "rules.json").write_text(json.dumps(rules))
        self.reload()

    def reload(self):
        """Let it read its configuration again."""
        self.popen.send_signal(signal.SIGHUP)

    def query(self, promql):
        """The instant vector of an expression, now."""
        return self._ask("query", query=promql)

    def query_range(self, promql, start, end, step_s):
        """The range vector of an expression; times are epoch seconds."""
        return self._ask("query_range", query=promql, start=start, end=end, step=step_s)

    def _ask(self, what, **parameters):
        answer = requests.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=10).json()
        if answer["status"] != "success":
            raise ServerFailed(f"Prometheus: {answer['error']}")
        return answer["data"]["result"]

    def wait_for(self, promql, within_s=15):
        """Wait until an expression has a result, and return it."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if result := self.query(promql):
                return result
            time.sleep(0.1)
        raise ServerFailed(f"Prometheus has no {promql} after {within_s} s:\n{self.log_tail()}")


def start(targets=(), history="", rules=None, interval_s=1, alertmanagers=(), external_labels=None):
    """Start a server that scrapes `targets`.

    history     OpenMetrics text with time stamps, all of them past (see history.py)
    rules       the content of a rule file: {"groups": [...]}
    alertmanagers   their ports; external_labels: which it adds to what it tells them
    """
    folder = new_folder("prometheus")
    port = free_port()
    if history:
        past = folder / "history.txt"
        past.write_text(history)
        run([program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", past, folder / "data"])
        past.unlink()
    if rules:
        (folder / "rules.json").write_text(json.dumps(rules))
    configuration = folder / "prometheus.json"  # JSON is YAML
    whole = _configuration([*targets, _itself(port)], interval_s)
    whole["global"]["external_labels"] = external_labels or {}
    told = [f"{HOST}:{one}" for one in alertmanagers]
    whole["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": told}]}]}
    configuration.write_text(json.dumps(whole))
    command = [
        program("prometheus"),
        f"--config.file={configuration.name}",  # its label rule_group is then `rules.json;…`, wherever the folder is
        f"--web.listen-address={HOST}:{port}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--log.level=warn",
    ]
    return Prometheus(command=command, folder=folder, port=port).start()


def _itself(port):
    return Target("prometheus", "prometheus-0:9090", port)


def _configuration(targets, interval_s):
    def scrape(job):
        return {
            "job_name": job,
            "static_configs": [
                {"targets": [f"{HOST}:{target.port}"], "labels": {"instance": target.instance}}
                for target in targets
                if target.job == job
            ],
            "metric_relabel_configs": [SERVER_LABEL],
        }

    interval = f"{interval_s}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": ["rules.json"],
        "scrape_configs": [scrape(job) for job in sorted({target.job for target in targets})],
    }
