"""What the tests themselves ask of an API server: raw JSON, as the administrator or another user."""

import json
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import requests
import yaml

from tests.stack.process import ServerFailed

TIMEOUT_S = 30
POLL_S = 0.05
LOOK_AGAIN_S = 5  # what is waited for may depend on the time, too


class Refused(RuntimeError):
    """The API server said no; `status` is the HTTP status, `said` its message."""

    def __init__(self, answer):
        super().__init__(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
        self.status = answer.status_code
        try:
            self.said = answer.json()["message"]
        except (ValueError, KeyError, TypeError):
            self.said = answer.text[:500]


class Api:
    """An API server as one user sees it."""

    def __init__(self, url, authority, token, field_manager="deploy-pipeline"):
        self.url, self.authority, self.token = url, authority, token
        self.field_manager = field_manager  # who changed what, as the objects' managedFields tell
        self._plurals = {}

    @classmethod
    def of_kubeconfig(cls, path):
        """Read what `write_kubeconfig` wrote."""
        given = json.loads(path.read_text())
        cluster = given["clusters"][0]["cluster"]
        return cls(cluster["server"], cluster["certificate-authority"], given["users"][0]["user"]["token"])

    @cached_property
    def _session(self):
        session = requests.Session()
        session.trust_env = False  # no proxy, whatever the environment says
        session.verify = str(self.authority)
        session.headers["Authorization"] = f"Bearer {self.token}"
        return session

    def request(self, method, path, body=None, content="application/json", **parameters):
        """Ask, and return what was answered as JSON."""
        answer = self._session.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content},
            params=parameters,
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            raise Refused(answer)
        return answer.json()

    def write_kubeconfig(self, path):
        """Write a kubeconfig that signs in as this user; it needs no other file."""
        given = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.authority)}}
            ],
            "users": [{"name": path.stem, "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": path.stem}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(given, indent=1))
        return path

    # --- objects -----------------------------------------------------------------------------------------------------

    def apply(self, manifest):
        """Create or change objects: a dictionary, a list of them, or YAML text. Returns the last as the server has it."""
        if isinstance(manifest, str | Path):
            text = manifest.read_text() if isinstance(manifest, Path) else manifest
            manifest = [document for document in yaml.safe_load_all(text) if document]
        applied = None
        for wanted in manifest if isinstance(manifest, list) else [manifest]:
            applied = self._apply_one(wanted)
        return applied

    def _apply_one(self, wanted):
        metadata = wanted["metadata"]
        path = self.path(wanted["kind"], metadata["name"], metadata.get("namespace"), wanted["apiVersion"])
        content = "application/apply-patch+yaml"  # JSON is YAML
        applied = self.request("PATCH", path, wanted, content, fieldManager=self.field_manager, force="true")
        if wanted["kind"] == "Namespace":
            # Before a controller made it, pods are refused.
            self.wait("ServiceAccount", "default", metadata["name"], until=lambda account: account)
        if wanted["kind"] == "CustomResourceDefinition":
            self.wait(
                "CustomResourceDefinition",
                metadata["name"],
                until=lambda definition: is_true(definition, "Established"),
            )
            self._wait_until_served(wanted["spec"])
        return applied

    def _wait_until_served(self, spec, within_s=30):
        """Another controller tells which kinds there are: on a busy machine seconds after a definition is established."""
        deadline, kind = time.monotonic() + within_s, spec["names"]["kind"]
        for version in [f"{spec['group']}/{one['name']}" for one in spec["versions"] if one["served"]]:
            while (kind, version) not in self._plurals:
                if time.monotonic() > deadline:
                    raise ServerFailed(f"the API server does not serve {kind} {version} after {within_s} s")
                self._discover(version)
                time.sleep(POLL_S)

    def get(self, kind, name=None, namespace=None, version=None, **parameters):
        """One object, or None if there is none of that name; without a name, all of the namespace or of the cluster."""
        try:
            answer = self.request("GET", self.path(kind, name, namespace, version), **parameters)
        except Refused as refused:
            if refused.status == 404 and name:
                return None
            raise
        return answer if name else answer["items"]

    def delete(self, kind, name, namespace=None, grace_s=None):
        parameters = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        self.request("DELETE", self.path(kind, name, namespace), **parameters)

    def patch(self, kind, name, change, namespace=None, subresource=""):
        """Change parts of an object; `subresource` "/status" is how a test gives a pod of a fake node its state."""
        path = self.path(kind, name, namespace) + subresource
        return self.request("PATCH", path, change, "application/merge-patch+json")

    def wait(self, kind, name=None, namespace=None, *, until, within_s=30):
        """Wait until an object (without `name`: the list of all) is as `until(it)` wants it, and return it."""
        deadline, seen = time.monotonic() + within_s, None
        while (left_s := deadline - time.monotonic()) > 0:
            for seen in self._states(kind, name, namespace, left_s):
                if seen is not None and until(seen):
                    return seen
        raise ServerFailed(f"{kind} {name or ''} is not as awaited after {within_s} s:\n{_shortly(seen)}")

    def _states(self, kind, name, namespace, within_s):
        """An object, or the list of all, as it is now and after each change, until the server ends the watch."""
        path = self.path(kind, namespace=namespace or ("default" if name else None))
        only = {"fieldSelector": f"metadata.name={name}"} if name else {}
        listed = self.request("GET", path, **only)
        one = {key: listed[key] for key in ("apiVersion",)} | {"kind": kind}
        known = {each["metadata"]["uid"]: one | each for each in listed["items"]}
        yield _only(known, name)
        for change in self._changes(path, only, listed["metadata"]["resourceVersion"], within_s):
            if change["type"] == "ERROR":  # the version is too old: list again
                return
            uid = change["object"]["metadata"]["uid"]
            known.pop(uid, None)
            if change["type"] != "DELETED":
                known[uid] = change["object"]
            yield _only(known, name)

    def _changes(self, path, only, version, within_s):
        """What the API server tells of changes after a version, for a while."""
        asked = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": max(1, round(min(within_s, LOOK_AGAIN_S))),
            **only,
        }
        # Of a server that does not answer, or ends, the next list tells.
        with (
            suppress(requests.RequestException),
            self._session.get(self.url + path, params=asked, stream=True, timeout=within_s + 1) as answer,
        ):
            if not answer.ok:
                raise Refused(answer)
            yield from map(json.loads, answer.iter_lines())

    # --- addresses ---------------------------------------------------------------------------------------------------

    def path(self, kind, name=None, namespace=None, version=None):
        """The path of a kind of objects, or of one of them; `version` ("batch/v1") only where kinds have the same name."""
        version, plural, namespaced = self._plural(kind, version)
        parts = [f"/apis/{version}" if "/" in version else f"/api/{version}"]
        if namespaced and (namespace or name):
            parts.append(f"namespaces/{namespace or 'default'}")
        parts.append(plural)
        if name:
            parts.append(name)
        return "/".join(parts)

    def _plural(self, kind, version):
        known = self._plurals.get((kind, version))
        if not known:
            for served in [version] if version else self._versions():
                self._discover(served)
            known = self._plurals.get((kind, version))
        if not known:
            raise ServerFailed(f"the API server has no kind {kind} {version or ''}")
        return known

    def _versions(self):
        groups = self.request("GET", "/apis")["groups"]
        # The core comes first: an Event is found there before it is found in events.k8s.io.
        return ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]

    def _discover(self, version):
        try:
            answer = self.request("GET", f"/apis/{version}" if "/" in version else f"/api/{version}")
        except Refused as refused:
            if refused.status in (404, 503):  # a group whose server does not answer must not hide the others
                return
            raise
        for resource in answer["resources"]:
            if "/" not in resource["name"]:
                found = version, resource["name"], resource["namespaced"]
                self._plurals[resource["kind"], version] = found
                self._plurals.setdefault((resource["kind"], None), found)


def _only(known, name):
    """The newest state of the one object that is asked for, or of all."""
    return next(iter(known.values()), None) if name else list(known.values())


def is_true(thing, condition):
    """Whether an object's condition ("Ready", "Available", …) is true."""
    conditions = thing.get("status", {}).get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def rolled_out(workload):
    """Whether a deployment runs its newest revision only, and all of it is available."""
    status, replicas = workload.get("status", {}), workload["spec"].get("replicas", 1)
    return status.get("observedGeneration") == workload["metadata"]["generation"] and all(
        status.get(count, 0) == replicas for count in ("replicas", "updatedReplicas", "availableReplicas")
    )


def _shortly(seen):
    listed = seen if isinstance(seen, list) else [seen]
    return "\n".join(json.dumps(each and each.get("status"))[:1500] for each in listed[:5])
