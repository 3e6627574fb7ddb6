"""Least privilege on a real cluster: what `permissions` prints suffices, and is all that is used; `doctor` names what is lacking."""

import json
import time
from contextlib import contextmanager

import pytest
import yaml

from nl_forensics import cli
from nl_forensics.checks import load as load_checks
from nl_forensics.delivery.doctor import MAX_LINES, diagnose
from nl_forensics.inputs import parameters
from nl_forensics.sources import load as load_sources
from tests.asking import ask, link, platform
from tests.investigation import ago
from tests.stack.kubernetes.api import Api, is_true
from tests.stack.kubernetes.api_faults import Answer, misbehaving
from tests.stack.kubernetes.control_plane import ADMIN

NAME = "nl-forensics"
REVIEWS = {"selfsubjectrulesreviews", "selfsubjectaccessreviews"}
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: stand}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: stand}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example/web:1"}]}
"""


@pytest.fixture(scope="module")
def shop(fake_cluster):
    fake_cluster.apply(SHOP)
    fake_cluster.wait("Deployment", "web", "stand", until=lambda one: is_true(one, "Available"))
    return fake_cluster


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A parameter file about the namespace stand of the cluster, or about another scope."""

    def written(namespaces=("stand",), kubeconfig="/nowhere"):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        absent = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")
        systems = absent | {"kubernetes": {"main": {}}}
        values = {
            "incident": {"id": "test", "start": ago(minutes=30), "end": "now"},
            "platform": {"name": "test", "systems": systems, "namespaces": namespaces},
            "case": str(tmp_path / "case"),
        }
        (tmp_path / "incident.yaml").write_text(json.dumps(values))
        return tmp_path / "incident.yaml"

    return written


@pytest.fixture
def granted(shop, tmp_path, asked, capsys):
    """Apply what `permissions` prints, and give a kubeconfig of the service account: with a token that kubectl made for it."""

    def apply(home=NAME, section="kubernetes", without=None, **options):
        assert cli.run(["permissions", str(asked(**options)), "--json", "--namespace", home]) == 0
        text = json.loads(capsys.readouterr().out)[section]
        objects = list(yaml.safe_load_all(text))
        if without:
            text = json.dumps(
                {"apiVersion": "v1", "kind": "List", "items": [_without(one, without) for one in objects]}
            )
        (tmp_path / "role.yaml").write_text(text)
        shop.kubectl("apply", "-f", tmp_path / "role.yaml")
        token = shop.kubectl("-n", home, "create", "token", NAME, "--duration=1h").strip()
        path = tmp_path / "reader.kubeconfig"
        path.unlink(missing_ok=True)
        _wait_until_known(shop, home, objects, without)
        return Api(shop.url, shop.api.authority, token).write_kubeconfig(path)

    return apply


def _without(one, resource):
    """The object without a resource in its rules."""
    for rule in one.get("rules", []):
        rule["resources"] = [name for name in rule.get("resources", []) if name != resource]
    if "rules" in one:
        one["rules"] = [rule for rule in one["rules"] if rule["resources"] or rule.get("nonResourceURLs")]
    return one


def _wait_until_known(shop, home, objects, without):
    """The API server learns of a role a moment after it was written: in all of it, and of what was taken away."""
    user = {"user": f"system:serviceaccount:{home}:{NAME}"}
    for one in objects:
        for rule in one.get("rules", []):
            for resource in rule.get("resources", []):
                name, _, sub = resource.partition("/")
                place = {"verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": name, "subresource": sub}
                place["namespace"] = one["metadata"].get("namespace", "")
                _wait_for(shop, user | {"resourceAttributes": place}, resource != without)


def _wait_for(shop, spec, wanted):
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    for _ in range(200):
        if (
            shop.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]
            == wanted
        ):
            return
        time.sleep(0.05)
    pytest.fail(f"{spec} is not {wanted}")


def audited(shop, home=NAME):
    """What the service account asked, since the log began."""
    name = f"system:serviceaccount:{home}:{NAME}"
    return [one for one in shop.audit_log() if one["user"].get("username") == name]


def doctor(file):
    """(exit code, what it says as JSON, what it says to people), of one trial."""
    told = diagnose(parameters.read(file))
    return told.exit_code, json.loads(json.dumps(told.as_json(), default=str)), list(told.lines())


# --- All of it -------------------------------------------------------------------------------------------------------


def test_what_permissions_prints_suffices_and_only_that_is_used(shop, granted, asked, capsys):
    kubeconfig = granted(namespaces=["stand", "tenant-*"])
    file = asked(["stand", "tenant-*"], kubeconfig)
    assert cli.run(["doctor", str(file)]) in (0, 3)
    said = capsys.readouterr().out
    assert "kubernetes-main: reached, no missing permissions" in said
    assert "lacks" not in said
    assert "than it needs" not in said
    trial = len(audited(shop))
    assert cli.run(["collect", str(file)]) in (0, 3)
    assert "forbidden" not in capsys.readouterr().out
    log = audited(shop)
    assert {one["verb"] for one in log} == {"get", "list", "create"}
    assert {one["objectRef"]["resource"] for one in log if one["verb"] == "create"} <= REVIEWS
    assert not {401, 403} & {one["responseStatus"]["code"] for one in log if "responseStatus" in one}
    print(f"{sum(one['stage'] == 'ResponseComplete' for one in log[trial:])} requests of a collection")


def test_one_review_is_enough_where_the_rules_are_all(shop, granted):
    kubeconfig, before = granted(), len(audited(shop))
    opened = link("kubernetes", str(kubeconfig))
    heard = ask(opened, "k8s_access", platform_=platform(namespaces=("stand",)))
    opened.close()
    assert heard.table[heard.table.needed].allowed.all()
    assert not heard.table[~heard.table.needed].allowed.any()
    assert heard.unseen == []
    posted = [one for one in audited(shop)[before:] if one["verb"] == "create" and one["stage"] == "ResponseComplete"]
    assert [one["objectRef"]["resource"] for one in posted] == ["selfsubjectrulesreviews"]


# --- One is taken away -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "resource"), [("list", "events"), ("get", "pods/log"), ("list", "nodes")])
def test_doctor_names_what_was_taken_away_and_what_it_costs(verb, resource, granted, asked):
    kubeconfig = granted(without=resource)
    code, told, lines = doctor(asked(kubeconfig=kubeconfig))
    assert code == 3
    [missing] = told["missing"]
    assert (missing["of"], missing["permissions"]) == ("kubernetes-main", [f"{verb} {resource}"])
    source = {"events": "k8s_events", "pods/log": "k8s_unhealthy_logs", "nodes": "k8s_nodes"}[resource]
    assert source in missing["sources"]
    # Tenants are out of scope: this platform has none.
    of_tenants = {name for name, one in load_sources().items() if one.about.startswith("tenants")}
    needing = {one.name for one in load_checks().values() if source in one.needs and of_tenants.isdisjoint(one.needs)}
    assert needing
    assert needing <= {*missing["checks"]}
    [line] = [line for line in lines if f"lacks {verb} {resource}" in line]
    assert f"→ prevents {len(missing['checks'])} check" in line
    assert "kubernetes-main: reached, lacks 1 permission" in lines


def test_nothing_is_granted_at_all(shop, asked):
    """Every check is named, in a few lines and not in one for each permission."""
    kubeconfig = shop.kubeconfig("nobody")
    code, told, lines = doctor(asked(kubeconfig=kubeconfig))
    assert code == 3
    lacking = {permission for one in told["missing"] for permission in one["permissions"]}
    assert {"list pods", "list events", "get pods/log", "list nodes"} <= lacking
    assert "get /readyz" not in lacking  # everybody may
    assert "list tenants.neurallog.io" not in lacking  # this cluster knows no such thing
    assert not any("every_system_answers" in one["checks"] for one in told["missing"])
    assert len([line for line in lines if " lacks " in line]) <= MAX_LINES + 1
    assert any(line.startswith("and ") and "more with less impact" in line for line in lines)


def test_credentials_that_have_expired(granted, asked):
    kubeconfig = granted()
    given = json.loads(kubeconfig.read_text())
    given["users"][0]["user"]["token"] = "expired"
    kubeconfig.write_text(json.dumps(given))
    code, told, lines = doctor(asked(kubeconfig=kubeconfig))
    assert code == 3
    assert told["missing"] == []
    assert "HTTP 401" in told["reached"]["kubernetes-main"]
    [line] = [line for line in lines if "(log in again" in line]
    assert f"→ prevents {told['unknown'][0]['checks']} checks" in line


def test_a_server_that_reviews_nothing(shop, granted, asked):
    """Then the refusals of the trial tell it, and nobody says that nothing is missing."""
    granted(without="events")
    (shop.folder / "reader.kubeconfig").write_text((asked().parent / "reader.kubeconfig").read_text())
    with misbehaving(shop, {"/apis/authorization.k8s.io/*": Answer(403)}, "reader") as kubeconfig:
        _, told, _ = doctor(asked(kubeconfig=kubeconfig))
    assert ["list events"] in [one["permissions"] for one in told["missing"]]
    with misbehaving(shop, {"/apis/authorization.k8s.io/*": Answer(503)}, "reader") as kubeconfig:
        granted()
        _, told, _ = doctor(asked(kubeconfig=kubeconfig))
    assert "undetermined" in told["reached"]["kubernetes-main"]


# --- Others decide, too ----------------------------------------------------------------------------------------------


@contextmanager
def incomplete(shop, user):
    """An API server of a cloud: it has identities of its own, whose rights no rule tells."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = {"resourceRules": [], "nonResourceRules": [], "incomplete": True, "evaluationError": "a webhook decides"}
    with misbehaving(shop, {path: Answer(201, {}, json.dumps({"status": status}))}, user) as kubeconfig:
        yield kubeconfig


def test_rights_are_asked_for_one_by_one_where_no_rule_tells_them(shop, granted, asked):
    granted(without="events")
    (shop.folder / "reader.kubeconfig").write_text((asked().parent / "reader.kubeconfig").read_text())
    with incomplete(shop, "reader") as kubeconfig:
        opened = link("kubernetes", str(kubeconfig))
        heard = ask(opened, "k8s_access", platform_=platform(namespaces=("tenant-*",)))
        requests = opened.requests
        opened.close()
    needed = heard.table[heard.table.needed]
    assert [*zip(needed.verb[~needed.allowed], needed.resource[~needed.allowed], strict=True)] == [
        ("list", "events")
    ] * 2
    assert needed.reason.str.contains("RBAC: allowed by").any()
    assert requests < 80
    print(f"{requests} requests")


def test_an_administrator_is_told_that_less_is_enough(shop, asked):
    code, told, lines = doctor(asked(kubeconfig=shop.kubeconfig()))
    assert told["missing"] == []
    [rights] = told["more_than_needed"].values()
    assert {"get secrets", "create pods/exec", "delete pods"} <= {*rights}
    [note] = [line for line in lines if line.startswith("note: ")]
    assert "more rights on kubernetes-main than needed: get secrets" in note
    assert code in (0, 3)
    with incomplete(shop, ADMIN) as kubeconfig:
        opened = link("kubernetes", str(kubeconfig))
        heard = ask(opened, "k8s_access", platform_=platform(namespaces=("stand",)))
        assert opened.requests < 10
        opened.close()
    assert heard.table.allowed.all()


# --- Roles in namespaces ---------------------------------------------------------------------------------------------


def test_roles_in_namespaces(shop, granted, asked, capsys):
    """What is in a namespace is seen there, what is in none as well; all that is missing is what no such role can give."""
    running = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auditors"}}
    shop.apply(running)
    kubeconfig = granted(home="auditors", section="kubernetes_in_namespaces")
    file = asked(kubeconfig=kubeconfig)
    _, told, _ = doctor(file)
    assert told["missing"] == []
    assert cli.run(["collect", str(file), "--json"]) == 3
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    unseen = {one["source"]: one["data gap"] for one in coverage if "allow us" in one["remedy"]}
    assert unseen.keys() == {"k8s_nodes"}
    assert "requests of pods" in unseen["k8s_nodes"]
    log = audited(shop, "auditors")
    assert {one["verb"] for one in log} == {"get", "list", "create"}
    granted_there = [one["objectRef"] for one in log if one.get("objectRef", {}).get("namespace") == "default"]
    assert {one["resource"] for one in granted_there} == {"events"}


def test_a_role_in_a_namespace_that_lacks_something(shop, granted, asked):
    shop.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auditors"}})
    kubeconfig = granted(home="auditors", section="kubernetes_in_namespaces")
    objects = shop.get("Role", NAME, "stand")
    objects = {key: objects[key] for key in ("apiVersion", "kind", "rules")} | {
        "metadata": {"name": NAME, "namespace": "stand"}
    }
    shop.apply(_without(objects, "services"))
    user = {"user": f"system:serviceaccount:auditors:{NAME}"}
    place = {"verb": "list", "group": "", "resource": "services", "namespace": "stand"}
    _wait_for(shop, user | {"resourceAttributes": place}, False)
    code, told, lines = doctor(asked(kubeconfig=kubeconfig))
    assert code == 3
    [missing] = told["missing"]
    assert (missing["permissions"], missing["namespaces"]) == (["list services"], ["stand"])
    assert any("lacks list services in stand → prevents" in line for line in lines)
