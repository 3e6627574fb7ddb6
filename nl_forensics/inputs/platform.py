"""Systems and their addresses, names and budgets. NeuralLog's are in `platforms/neurallog.yaml`; any team writes its own."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, field_validator, model_validator

from nl_forensics.inputs.access import Access
from nl_forensics.inputs.billing import Billing
from nl_forensics.inputs.names import Domain, Matchers, Metric, MetricPattern, NamespacedName, NamespacePattern
from nl_forensics.inputs.tenants import Tenants

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
InstanceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519"
]
Absent = Literal["absent"]
IN_CLUSTER = "in-cluster"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
TARGET = re.compile(r"([a-z0-9-]{1,63})/(service|pod)/([a-z0-9.-]{1,253}):([1-9][0-9]{0,4})")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PortForward(_Model):
    """The port-forward to a system that is reachable only from inside its cluster.

    port_forward   namespace/service/name:port (one of its ready pods is chosen), or namespace/pod/name:port
    cluster        the instance of kubernetes with the kubeconfig to use; empty: the only one
    """

    port_forward: str
    cluster: str = ""

    @field_validator("port_forward")
    @classmethod
    def _names_a_port(cls, target: str) -> str:
        if not (parts := TARGET.fullmatch(target)) or int(parts[4]) > 65535:
            raise ValueError("write namespace/service/name:port or namespace/pod/name:port: data/service/postgres:5432")
        return target

    @property
    def target(self) -> tuple[str, str, str, int]:
        """(namespace, `service` or `pod`, name, port)."""
        namespace, kind, name, port = TARGET.fullmatch(self.port_forward).groups()  # type: ignore[union-attr]
        return namespace, kind, name, int(port)


class Endpoint(_Model):
    """One instance of a system. The address is read from an environment variable, so that no secret is in a file.

    via              how it is reached; none: directly. Host and port of the address then only name the server that the certificate
                     must prove
    allow_cleartext  its password may cross the network unencrypted
    """

    endpoint: Variable
    via: PortForward | None = None
    allow_cleartext: bool = False

    @property
    def address(self) -> str:
        """The value of the variable; "" if it is not set."""
        return os.environ.get(self.endpoint, "")

    def resolved(self) -> Self:
        """The same, with what it reads from other variables: a worker process does not have the environment of the collector."""
        return self


class PostgresEndpoint(Endpoint):
    """databases: those to query; empty: every database that the role may connect to, largest first, 20 at most."""

    databases: tuple[str, ...] = ()
    allow_superuser: bool = False


class KubernetesEndpoint(Endpoint):
    """The variable holds the path of a kubeconfig, or several joined by `:`.

    context   one of its contexts; empty: the current one
    """

    endpoint: Variable = "KUBECONFIG"
    via: None = None
    context: str = ""

    @property
    def address(self) -> str:
        """If the variable is not set: the default of kubectl, or, in a pod, the cluster that it runs in."""
        usual = Path.home() / ".kube" / "config"
        within = IN_CLUSTER if SERVICE_ACCOUNT.is_file() else ""
        return super().address or (str(usual) if usual.is_file() else within)


class ProbeEndpoint(Endpoint):
    """The variable holds an HTTP address. No port-forward: the probe tests the path from this machine."""

    via: None = None


class DnsEndpoint(Endpoint):
    """The variable holds the address of a cluster's DNS server, which answers only inside the cluster.

    domain   of the cluster
    """

    via: None = None
    domain: Domain = "cluster.local"


class IdentityEndpoint(Endpoint):
    """The variable holds the address of an issuer's key set (JWKS), or of its discovery document.

    token_from      environment variable with a token to examine. It is never recorded; if it is not set, no token is examined
    issuer          required `iss` of a token; empty: any
    audience        required `aud` of a token; empty: any
    algorithms      allowed signature algorithms; those with a shared secret (HS256) are never allowed with a public key set
    max_lifetime_s  longest time between issue and expiry of a token
    """

    token_from: Variable = "NL_TOKEN"
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")
    max_lifetime_s: int = Field(86_400, ge=60)

    _token: str = PrivateAttr("")  # in no dump and no repr

    @property
    def token(self) -> str:
        """The token to examine; "" if none is given."""
        return self._token

    def resolved(self) -> Self:
        resolved = self.model_copy()
        resolved._token = os.environ.get(self.token_from, "").strip()
        return resolved


class StripeEndpoint(Endpoint):
    """The variable holds the address of Stripe's API with a restricted key as its password. It is on the internet: no port-forward."""

    via: None = None


class Cluster(NamedTuple):
    """The cluster through which a system is reached."""

    name: str
    endpoint: KubernetesEndpoint
    address: str


class Systems(_Model):
    """Every system of the stack, by instance name; `absent`: this platform has none, so it is neither queried nor undetermined."""

    postgres: dict[InstanceName, PostgresEndpoint] | Absent
    pgbouncer: dict[InstanceName, Endpoint] | Absent
    redis: dict[InstanceName, Endpoint] | Absent
    prometheus: dict[InstanceName, Endpoint] | Absent
    alertmanager: dict[InstanceName, Endpoint] | Absent = "absent"
    grafana: dict[InstanceName, Endpoint] | Absent = "absent"
    stripe: dict[InstanceName, StripeEndpoint] | Absent = "absent"
    kubernetes: dict[InstanceName, KubernetesEndpoint] | Absent = "absent"
    probe: dict[InstanceName, ProbeEndpoint] | Absent = "absent"
    dns: dict[InstanceName, DnsEndpoint] | Absent = "absent"
    identity: dict[InstanceName, IdentityEndpoint] | Absent = "absent"

    def instances(self, system: str) -> dict[str, Endpoint]:
        """The instances of one system; none when it is absent."""
        declared = getattr(self, system)
        return {} if declared == "absent" else declared

    def cluster_of(self, endpoint: Endpoint) -> Cluster | None:
        """The cluster through which an instance is reached; None: it is reached directly."""
        if not endpoint.via:
            return None
        clusters: dict = self.instances("kubernetes")
        name = endpoint.via.cluster or next(iter(clusters))
        return Cluster(name, clusters[name], clusters[name].address)

    @model_validator(mode="after")
    def _clusters_are_declared(self) -> Self:
        clusters = self.instances("kubernetes")
        ways = [one.via for name in type(self).model_fields for one in self.instances(name).values() if one.via]
        for way in ways:
            if way.cluster not in clusters and (way.cluster or len(clusters) != 1):
                there = ", ".join(clusters) or "none"
                raise ValueError(
                    f"via {way.port_forward}: `cluster` must name an instance of kubernetes (there: {there})"
                )
        return self


class Queue(_Model):
    """A list or stream in Redis that a healthy platform drains. `instance`: the Redis that holds it."""

    key: str
    instance: InstanceName


class Flow(_Model):
    """A connection that the platform requires; `*` in a name matches any characters.

    client   namespace/workload (a deployment, a stateful set, …) that opens it
    service  namespace/service that it goes to, and `port` of that service
    """

    client: NamespacedName
    service: NamespacedName
    port: int = Field(ge=1, le=65535)


class RedisNames(_Model):
    """Names of keys. `precious`: patterns that must never be evicted or flushed; `cache`: those that must expire."""

    queues: tuple[Queue, ...] = ()
    precious: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()


class Metrics(_Model):
    """Metric names of the programs of the platform; empty: there is no such metric, and nothing is queried.

    service_label     label of a target that names its service
    requests          counter of answered requests, with the labels `service` and `status` (the HTTP status)
    request_seconds   histogram of how long requests took, in seconds, with the labels `service` and `route`; its name without `_bucket`
    lines_accepted    counter of log lines that were accepted, with the label `tenant`
    lines_stored      counter of log lines that were stored, with the label `tenant`
    gc_seconds        counter of the seconds spent in garbage collection; several names as a regular expression
    pool_in_use       connections of a pod's database pool that are in use; pool_size: its maximum; pool_waiting: requests that wait for
                      one: gauges, all three or none
    database_seconds  counter of the seconds waited for the database's answers; needs request_seconds
    """

    service_label: Metric = ""
    requests: Metric = ""
    request_seconds: Metric = ""
    lines_accepted: Metric = ""
    lines_stored: Metric = ""
    gc_seconds: MetricPattern = ""
    pool_in_use: Metric = ""
    pool_size: Metric = ""
    pool_waiting: Metric = ""
    database_seconds: Metric = ""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if len({bool(name) for name in (self.pool_in_use, self.pool_size, self.pool_waiting)}) > 1:
            raise ValueError("pool_in_use, pool_size and pool_waiting: name all three, or none")
        if self.database_seconds and not self.request_seconds:
            raise ValueError("database_seconds needs request_seconds: it is shown as a share of it")
        return self


class Budget(_Model):
    """Limits of a collection: seconds, bytes, keys and lines."""

    deadline_s: float = Field(60, ge=5, le=3600)
    connect_s: float = Field(3, ge=0.5, le=60)
    question_s: float = Field(10, ge=1, le=600)
    readings_s: float = Field(5, ge=0.5, le=600)
    answer_bytes: int = Field(50_000_000, ge=10_000, le=80_000_000)
    redis_scan_keys: int = Field(20_000, ge=100)
    redis_scan_s: float = Field(5, ge=0.1, le=600)
    prometheus_points: int = Field(1_000, ge=10, le=10_000)
    prometheus_rules: int = Field(300, ge=0, le=10_000)
    stripe_objects: int = Field(1_000, ge=100, le=10_000)
    kubernetes_per_s: float = Field(10, ge=0.5, le=200)
    kubernetes_logs: int = Field(150, ge=0, le=10_000)
    kubernetes_all_logs: bool = False
    kubernetes_log_lines: int = Field(1_000, ge=1, le=100_000)
    kubernetes_log_bytes: int = Field(500_000, ge=1_000)


class Platform(_Model):
    """Systems and their addresses, and the names of keys, metrics and namespaces.

    namespaces  the Kubernetes namespaces of the platform, `*` matches any characters; empty: all of the cluster
    flows       required connections: checks test whether network policies allow them
    tenants     how tenants are named; none: the platform has no tenants
    access      exceptions from the rules about rights
    billing     tables, keys and prices of billing; none: the platform does not bill
    selectors   PromQL label matchers of each exporter, put into the queries of the sources (`job="postgres"`)
    metrics     metric names of the programs, put into the queries of the sources
    promql      PromQL that replaces the default of a Prometheus source, by source name
    left_out    {system: environment variables}: what `nl-forensics now` did not query, because the variables of its addresses are
                not set. It counts as absent, and is still reported as a data gap
    """

    name: str
    systems: Systems
    namespaces: tuple[NamespacePattern, ...] = ()
    flows: tuple[Flow, ...] = ()
    redis: RedisNames = RedisNames()
    tenants: Tenants | None = None
    access: Access = Access()
    selectors: dict[str, Matchers] = {}
    billing: Billing | None = None
    metrics: Metrics = Metrics()
    promql: dict[str, str] = {}
    left_out: dict[str, tuple[Variable, ...]] = {}
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _billing_knows_its_tenants(self) -> Self:
        if self.billing and not (self.tenants and self.tenants.table):
            raise ValueError("billing needs tenants.table: the currency of a tenant is one of its columns")
        return self

    def with_addresses(self) -> "Platform":
        """The same platform with the instances that have a known address; the others are left out."""
        declared = {system: self.systems.instances(system) for system in type(self.systems).model_fields}
        known = {
            system: {name: endpoint for name, endpoint in instances.items() if endpoint.address} or "absent"
            for system, instances in declared.items()
        }
        left_out = {
            system: tuple(endpoint.endpoint for endpoint in instances.values() if not endpoint.address)
            for system, instances in declared.items()
        }
        return self.model_copy(
            update={
                "systems": self.systems.model_copy(update=known),
                "left_out": {system: variables for system, variables in left_out.items() if variables},
            }
        )
