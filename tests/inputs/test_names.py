"""Names that lead elsewhere get into no path, no query, no selector and no PromQL; hostile parameter files are refused in one line."""

import json
import re
import time
from types import SimpleNamespace

import pytest

from nl_forensics import cli
from nl_forensics.collection import triage
from nl_forensics.connect.forward import ready_pod
from nl_forensics.connect.http import JsonLink
from nl_forensics.connect.kubernetes import KubernetesLink
from nl_forensics.errors import BadAnswer, NotAllowed, ParameterError
from nl_forensics.inputs.parameters import resolve
from nl_forensics.inputs.platform import Budget, Queue, RedisNames
from nl_forensics.sources.kubernetes.kinds import PODS
from nl_forensics.sources.prometheus import series
from tests.hostile import NO_NAMES, nested

INCIDENT = {"id": "i", "start": "2026-11-03T14:00Z", "end": "2026-11-03T15:00Z"}
ABSENT = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")
PATH = re.compile(r"/api/v1/(namespaces/[a-z0-9.-]+/)?pods(/[a-z0-9.-]+/log)?")


def parameters(**platform):
    return {"incident": INCIDENT, "platform": {"name": "p", "systems": ABSENT} | platform}


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_parameter_file_names_no_such_namespace(name):
    with pytest.raises(ParameterError):
        resolve(parameters() | {"incident": INCIDENT | {"namespaces": [name]}})
    with pytest.raises(ParameterError):
        resolve(parameters(namespaces=[name]))
    with pytest.raises(ParameterError):
        resolve(parameters(flows=[{"client": f"a/{name}", "service": f"{name}/b", "port": 1}]))


def test_patterns_of_namespaces_stay_possible():
    for name in ("default", "tenant-*", "*", "a", "team1-*-prod"):
        assert resolve(parameters(namespaces=[name])).platform.namespaces == (name,)


def test_the_command_for_triage_says_what_a_namespace_may_be(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "any"))
    with pytest.raises(ParameterError, match="-n: namespaces"):
        triage.opening(("default/services/http:payments:80/proxy/x",))


@pytest.fixture
def link(monkeypatch):
    """A link that asks nobody; `asked` are the paths."""
    asked = []
    link = KubernetesLink.__new__(KubernetesLink)
    vars(link).update(_budget=Budget(), _lists={}, namespace="", asked=asked, _list_until=float("inf"), _stale=False)

    def get(path, *_, **__):
        asked.append(path)
        if path == PODS.path():
            raise NotAllowed("not everywhere")  # so that namespaces are asked one by one
        return {}, b'{"items": []}'

    monkeypatch.setattr(link, "_get", get)
    return link


@pytest.mark.parametrize("name", NO_NAMES)
def test_kubernetes_is_asked_no_other_path(name, link):
    """Also where the name comes from the cluster, or from a kubeconfig."""
    for asking in (
        lambda: link.logs(name, "pod"),
        lambda: link.logs("default", name),
        lambda: link.some(PODS, name, 1),
    ):
        with pytest.raises(BadAnswer):
            asking()
    with pytest.raises((BadAnswer, NotAllowed)):
        link.objects(PODS, (name,))
    assert [path for path in link.asked if not PATH.fullmatch(path)] == []


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_port_forward_leads_to_no_other_path(name):
    services = [{"spec": {"ports": [{"port": 1}]}}]
    target = {"kind": "Pod", "name": name}
    slices = [{"ports": [{"port": 1}], "endpoints": [{"targetRef": target}]}]
    pod, _ = ready_pod("a/b", 1, services, slices)
    with pytest.raises(BadAnswer):
        PODS.path("a", pod, "portforward")


@pytest.mark.parametrize("name", [name for name in NO_NAMES if name.strip("aA0-")])
def test_grafana_is_asked_no_other_path(name):
    link = JsonLink.__new__(JsonLink)  # it asks nobody: the name is refused before
    with pytest.raises(BadAnswer):
        link.get("/api/dashboards/uid/{}", name)


@pytest.mark.parametrize("text", ['a"} or up{x="', "a\\", "a\nb", 'a\\"b', 'log"queue'])
def test_a_key_stays_within_its_string_in_promql(text):
    platform = SimpleNamespace(
        redis=RedisNames(queues=(Queue(key=text, instance="main"),)), selectors={}, metrics=None, namespaces=()
    )
    incident = SimpleNamespace(scope=lambda _: ())
    written = series._placeholders(incident, platform, SimpleNamespace(seconds=60), 15)["queues"]
    read = json.loads(f'"{written}"')  # PromQL reads these escapes as JSON does
    assert re.fullmatch(read, text)


@pytest.mark.parametrize(
    "platform",
    [
        {"metrics": {"requests": 'up{x="y"} or z'}},
        {"metrics": {"gc_seconds": 'a"} or up{x="'}},
        {"metrics": {"service_label": 'app", "$1") or up'}},
        {"selectors": {"postgres": 'job="a"} or up{job="b"'}},
        {"selectors": {"postgres": "job"}},
        {"selectors": {"postgres": 'job="a" or up'}},
        {"systems": ABSENT | {"dns": {"main": {"endpoint": "X", "domain": "a/../b"}}}},
        {"tenants": {"resource": "tenants.neurallog.io/../secrets"}},
    ],
)
def test_a_platform_file_adds_nothing_to_queries(platform):
    with pytest.raises(ParameterError):
        resolve(parameters(**platform))


@pytest.mark.parametrize("matchers", ["", 'job="a"', 'job = "a\\"b", route!~"/health.*|/metrics",', "a=~'b'", "a!=`c`"])
def test_label_matchers_stay_possible(matchers):
    assert resolve(parameters(selectors={"postgres": matchers})).platform.selectors == {"postgres": matchers}


# --- Hostile files ---------------------------------------------------------------------------------------------------------

FILES = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "merged": "a: &a {x: 1}\nb: {<<: *a}",
    "endless": "a: &a [*a]",
    "deep": nested(100_000),
    "deep map": "{a: " * 100_000,
    "long": "a: " + "x" * 2_000_000,
    "object": "a: !!python/object/apply:os.system [id]",
    "twice": "incident: {}\nincident: {}",
    "number": "a: 1" + "0" * 10_000,
    "keys": "? [a, b]\n: c",
    "key": "? {a: b}\n: c",
    "surrogate": 'incident: {id: x, title: "\\ud800", start: 2026-01-01T00:00Z}',
    "documents": "a: 1\n---\nb: 2",
    "control": "a: \x01",
    "date": "incident: {id: x, start: 99999-01-01T00:00Z}",
    "id": "incident: {id: ../x, start: 2026-01-01T00:00Z}",
    "list": "- a",
    "nothing": "",
    "directive": "%YAML 9.9\n---\na: 1",
    "binary": "a: !!binary x",
    "float": "limits: {a: {b: .nan}}",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_parameter_file_is_refused_in_one_line(kind, tmp_path, capsys):
    file = tmp_path / "p.yaml"
    file.write_bytes(FILES[kind].encode("utf-8", "surrogatepass"))
    began = time.monotonic()
    assert cli.run(["findings", str(file)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("field", ["title", "service", "tenant"])
def test_a_parameter_that_is_no_text_is_refused(field):
    incident = {"id": "x", "start": "2026-01-01T00:00Z", field: "\ud800"}
    with pytest.raises(ParameterError):
        resolve({"incident": incident, "platform": "neurallog"})
