"""A small server that answers as the documentation of Grafana's HTTP API says: the real one can't be had here.

/api/health, /api/datasources, /api/datasources/uid/:uid/health, /api/search, /api/dashboards/uid/:uid; as with the real one, all but the
first need a user: the token of a service account, given as the password of `api_key`.
"""

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import requests

from tests.stack.in_thread import answering
from tests.stack.process import HOST

TOKEN = "glsa_test-password"
VERSION = "11.6.0"


def panel(title, *expressions, uid="prometheus"):
    targets = [{"expr": one, "refId": chr(65 + n)} for n, one in enumerate(expressions)]
    return {"title": title, "type": "timeseries", "datasource": {"type": "prometheus", "uid": uid}, "targets": targets}


OVERVIEW = {
    "uid": "neurallog-overview",
    "title": "NeuralLog overview",
    "panels": [
        panel("Connections", "sum by (state) (pg_stat_activity_count)", "pg_settings_max_connections"),
        panel("Log queue", 'redis_key_size{key="log_queue"}'),
        {
            "title": "Targets",
            "type": "row",
            "collapsed": True,
            "panels": [panel("Up", "up == 0 or up", uid="${source}")],
        },
    ],
}


@dataclass
class Grafana:
    """`sources`: addresses of Prometheus by uid; `dashboards`: by uid; `database`: what it says of its database."""

    port: int
    sources: dict[str, str]
    dashboards: dict[str, dict] = field(default_factory=lambda: {OVERVIEW["uid"]: OVERVIEW})
    database: str = "ok"
    asked: list[str] = field(default_factory=list)

    @property
    def url(self):
        return f"http://api_key:{TOKEN}@{HOST}:{self.port}"

    def answer(self, path, authorization):
        """(status, JSON) of a request."""
        if path == "/api/health":
            health = {"commit": "5b85c4c2fc", "database": self.database, "version": VERSION}
            return 200 if self.database == "ok" else 503, health
        if authorization != "Basic " + base64.b64encode(f"api_key:{TOKEN}".encode()).decode():
            return 401, {"message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401}
        match path.removeprefix("/api/").split("/"):
            case ["datasources"]:
                return 200, [self._source(number, uid) for number, uid in enumerate(self.sources, 1)]
            case ["datasources", "uid", uid, "health"] if uid in self.sources:
                return self._health(self.sources[uid])
            case ["search"]:
                return 200, [
                    {"uid": uid, "title": one["title"], "type": "dash-db"} for uid, one in self.dashboards.items()
                ]
            case ["dashboards", "uid", uid] if uid in self.dashboards:
                return 200, {"meta": {"provisioned": True}, "dashboard": self.dashboards[uid]}
        return 404, {"message": "Not found"}

    def _source(self, number, uid):
        return {
            "id": number,
            "uid": uid,
            "name": uid.title(),
            "type": "prometheus",
            "access": "proxy",
            "isDefault": number == 1,
        }

    def _health(self, url):
        """It asks the data source, as the real one does."""
        try:
            requests.get(f"{url}/api/v1/query", params={"query": "1+1"}, timeout=2).raise_for_status()
        except requests.RequestException:
            return 400, {
                "message": 'Post "/api/v1/query": connection refused - There was an error returned querying the'
                " Prometheus API.",
                "status": "ERROR",
            }
        return 200, {"message": "Successfully queried the Prometheus API.", "status": "OK"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        grafana = self.server.grafana
        path = urlsplit(self.path).path
        grafana.asked.append(path)
        status, answer = grafana.answer(path, self.headers.get("Authorization"))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def grafana(prometheus_url):
    """Serve on loopback, with one data source and one dashboard."""
    with answering(ThreadingHTTPServer((HOST, 0), _Handler)) as server:
        server.grafana = Grafana(server.server_port, {"prometheus": prometheus_url})
        yield server.grafana
