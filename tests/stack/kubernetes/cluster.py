"""A Kubernetes cluster for the tests: `with cluster(nodes=3, real_node=True) as c:`."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.stack.kubernetes import control_plane, fake_nodes, metrics_server, network, real_node, services
from tests.stack.kubernetes.api import Api, is_true
from tests.stack.kubernetes.build import program
from tests.stack.kubernetes.control_plane import ADMIN, Credentials
from tests.stack.kubernetes.network import Addresses
from tests.stack.process import Process, ServerFailed, new_folder, run

USERS_NAMESPACE = "test-users"
READY_WITHIN_S = 30


@dataclass(kw_only=True)
class Cluster:
    """A running cluster, and the administrator's view of it (`api`)."""

    api: Api
    keys: Credentials
    addresses: Addresses
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self):
        self.folder = new_folder("kubeconfigs")
        self.apply, self.get, self.delete = self.api.apply, self.api.get, self.api.delete
        self.patch, self.wait = self.api.patch, self.api.wait

    @property
    def url(self):
        return self.api.url

    # --- users -------------------------------------------------------------------------------------------------------

    def kubeconfig(self, user=ADMIN, rules=None, namespace=None):
        """Path of a kubeconfig: the administrator's, or that of a user who may do what `rules` say, and nothing else.

        rules      rules of a Role or ClusterRole: [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
        namespace  where they hold; None: everywhere

        A user is a service account: its token can be made worthless (`revoke`), and its name in the audit log is
        `user_name(user)`.
        """
        if user == ADMIN:
            return control_plane.admin_kubeconfig(self.keys)
        if not self.get("Namespace", USERS_NAMESPACE):
            self.apply(_object("v1", "Namespace", USERS_NAMESPACE))
        self.apply(_object("v1", "ServiceAccount", user, USERS_NAMESPACE))
        if rules:
            self._grant(user, rules, namespace)
        path = self.folder / f"{user}.kubeconfig"
        return Api(self.url, self.api.authority, self._new_token(user)).write_kubeconfig(path)

    def revoke(self, user):
        """Make a user's token worthless: the API server answers 401, at the latest 10 s from now (it caches)."""
        self.delete("ServiceAccount", user, USERS_NAMESPACE)

    def _new_token(self, user):
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86_400},
        }
        path = self.api.path("ServiceAccount", user, USERS_NAMESPACE) + "/token"
        return self.api.request("POST", path, request)["status"]["token"]

    def _grant(self, user, rules, namespace):
        version, kind = "rbac.authorization.k8s.io/v1", "Role" if namespace else "ClusterRole"
        subject = {"kind": "ServiceAccount", "name": user, "namespace": USERS_NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user}
        self.apply(_object(version, kind, user, namespace) | {"rules": rules})
        binding = _object(version, f"{kind}Binding", user, namespace)
        self.apply(binding | {"subjects": [subject], "roleRef": role})
        self._wait_until_allowed(user, rules[0], namespace)

    def _wait_until_allowed(self, user, rule, namespace):
        """The API server learns of a new role a moment after it was written."""
        asked = {"verb": rule["verbs"][0]}
        if "nonResourceURLs" in rule:
            attributes = {"nonResourceAttributes": asked | {"path": rule["nonResourceURLs"][0]}}
        else:
            resource, _, subresource = rule["resources"][0].partition("/")
            asked |= {"group": rule["apiGroups"][0], "resource": resource, "subresource": subresource}
            attributes = {"resourceAttributes": asked | {"namespace": namespace or ""}}
        review = _object("authorization.k8s.io/v1", "SubjectAccessReview", "")
        review["spec"] = attributes | {"user": user_name(user)}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        for _ in range(1000):
            if self.api.request("POST", path, review)["status"]["allowed"]:
                return
        raise ServerFailed(f"{user} was not granted {rule}")

    # --- looking and disturbing --------------------------------------------------------------------------------------

    def kubectl(self, *words, user=ADMIN):
        """Run kubectl as a user that has a kubeconfig, and return what it printed."""
        path = self.kubeconfig() if user == ADMIN else self.folder / f"{user}.kubeconfig"
        # Its cache of what the server knows, too, belongs to this cluster.
        return run([program("kubectl"), f"--kubeconfig={path}", f"--cache-dir={self.folder}/cache", *words], HOME="/")

    def audit_log(self, user=None):
        """What the API server was asked, oldest first: audit events (https://kubernetes.io/docs/…/audit.k8s.io)."""
        file = control_plane.audit_file(self.processes["kube-apiserver"])
        if not file.exists():
            raise ServerFailed("the cluster was started without audit=True")
        events = [json.loads(line) for line in file.read_text().splitlines()]
        return [event for event in events if not user or event["user"].get("username") == user_name(user)]

    def freeze(self, name):
        """Stop a program ("etcd", "kube-apiserver", "kubelet", …) as a hung machine would."""
        self.processes[name].freeze()

    def thaw(self, name):
        self.processes[name].thaw()


def user_name(user):
    """How the API server calls a user of `Cluster.kubeconfig`."""
    return ADMIN if user == ADMIN else f"system:serviceaccount:{USERS_NAMESPACE}:{user}"


def _object(version, kind, name, namespace=None):
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


# --- starting --------------------------------------------------------------------------------------------------------


@contextmanager
def cluster(nodes=0, real_node=False, metrics=False, audit=False, api_options=(), kubelet_settings=None):
    """Start a cluster; all of it is gone at the end of `with`.

    nodes             number of fake nodes, node-0, node-1, … (see fake_nodes.py); tainted if there is a real one
    real_node         with a node that runs containers (see real_node.py); needs root
    metrics           with the metrics server, which needs the real node
    audit             the API server keeps an audit log
    api_options       flags of the API server: ["--event-ttl=5s"]
    kubelet_settings  changes to the kubelet's configuration: {"maxPods": 10}
    """
    if metrics and not real_node:
        raise ValueError("the metrics server asks kubelets: it needs real_node=True")
    starting = _Start(nodes, real_node, metrics, audit, api_options, kubelet_settings)
    with starting.running:
        with ThreadPoolExecutor() as pool:
            started = starting.everything(pool)
        yield started


class _Start:
    """Starts the programs of a cluster side by side, where one does not need the other."""

    def __init__(self, nodes, real_node, metrics, audit, api_options, kubelet_settings):
        self.nodes, self.real_node, self.metrics, self.audit = nodes, real_node, metrics, audit
        self.api_options, self.kubelet_settings = api_options, kubelet_settings
        self.running = ExitStack()
        self.processes = {}

    def begin(self, name, start, *arguments):
        process = start(*arguments)
        self.running.callback(process.close)
        self.processes[name] = process
        return process

    def everything(self, pool):
        if self.real_node:
            real_node.check_possible()
        addresses = Addresses.new()
        etcd = pool.submit(self.begin, "etcd", control_plane.start_etcd)
        runtime = pool.submit(self._start_runtime, addresses) if self.real_node else None
        keys = Credentials.make(addresses)
        self.running.callback(shutil.rmtree, keys.folder)
        server = self.begin(
            "kube-apiserver",
            control_plane.start_api_server,
            etcd.result(),
            keys,
            addresses,
            self.audit,
            self.api_options,
        )
        api = control_plane.admin_api(server, keys)
        parts = [
            pool.submit(self.begin, "kube-controller-manager", control_plane.start_controllers, keys),
            pool.submit(self.begin, "kube-scheduler", control_plane.start_scheduler, keys),
        ]
        if self.nodes:
            parts.append(pool.submit(self._start_fake_nodes, api, keys))
        if self.real_node:
            parts.append(pool.submit(self._start_real_node, runtime.result(), api, keys))
        for part in parts:
            part.result()
        self._wait_until_usable(api)
        return Cluster(api=api, keys=keys, addresses=addresses, processes=self.processes)

    def _start_fake_nodes(self, api, keys):
        self.begin("kwok", fake_nodes.start_kwok, api, keys)
        for number in range(self.nodes):
            api.apply(fake_nodes.node(number, tainted=self.real_node))

    def _start_runtime(self, addresses):
        way = self.begin("network", network.start, addresses)
        return way, self.begin("containerd", real_node.start_containerd, way)

    def _start_real_node(self, started, api, keys):
        way, runtime = started
        self.begin("services", services.start, keys, way.addresses)
        self.begin("kubelet", real_node.start_kubelet, runtime, api, keys, way, self.kubelet_settings)
        if self.metrics:
            self.begin("metrics-server", metrics_server.start, api, keys)

    def _wait_until_usable(self, api):
        wanted = self.nodes + self.real_node
        api.wait(
            "Node",
            until=lambda nodes: sum(is_true(node, "Ready") for node in nodes) == wanted,
            within_s=READY_WITHIN_S,
        )
        # Without it, pods are refused.
        api.wait("ServiceAccount", "default", "default", until=bool)
