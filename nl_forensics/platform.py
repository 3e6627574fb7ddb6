"""Where things are: systems, names and budgets. NeuralLog's are in `platforms/neurallog.yaml`; any team writes its own."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
InstanceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Absent = Literal["absent"]
IN_CLUSTER = "in-cluster"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Model):
    """One instance of a system. The address is read from an environment variable, so that no secret is in a file."""

    endpoint: Variable

    @property
    def address(self) -> str:
        """What the variable holds; "" when it is not set."""
        return os.environ.get(self.endpoint, "")


class PostgresEndpoint(Endpoint):
    """databases: those to look into; empty: every database that the role may connect to, largest first, 20 at most."""

    databases: tuple[str, ...] = ()
    allow_superuser: bool = False


class KubernetesEndpoint(Endpoint):
    """The variable holds the path of a kubeconfig, or several joined by `:`.

    context   one of its contexts; empty: the current one
    """

    endpoint: Variable = "KUBECONFIG"
    context: str = ""

    @property
    def address(self) -> str:
        """Where the variable is not set: what kubectl would take, or, in a pod, the cluster that it runs in."""
        usual = Path.home() / ".kube" / "config"
        within = IN_CLUSTER if SERVICE_ACCOUNT.is_file() else ""
        return super().address or (str(usual) if usual.is_file() else within)


class Systems(_Model):
    """Every system of the stack, by instance name; `absent`: this platform has none, so nothing is asked or unknown."""

    postgres: dict[InstanceName, PostgresEndpoint] | Absent
    pgbouncer: dict[InstanceName, Endpoint] | Absent
    redis: dict[InstanceName, Endpoint] | Absent
    prometheus: dict[InstanceName, Endpoint] | Absent
    alertmanager: dict[InstanceName, Endpoint] | Absent = "absent"
    grafana: dict[InstanceName, Endpoint] | Absent = "absent"
    kubernetes: dict[InstanceName, KubernetesEndpoint] | Absent = "absent"

    def instances(self, system: str) -> dict[str, Endpoint]:
        """The instances of one system; none when it is absent."""
        declared = getattr(self, system)
        return {} if declared == "absent" else declared


class Queue(_Model):
    """A list or stream in Redis that a healthy platform empties. `instance`: the Redis that holds it."""

    key: str
    instance: InstanceName


class RedisNames(_Model):
    """Names of keys. `precious`: patterns that must never be evicted or flushed; `cache`: those that must expire."""

    queues: tuple[Queue, ...] = ()
    precious: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()


class Budget(_Model):
    """What a collection may cost: seconds, bytes, keys and lines."""

    deadline_s: float = Field(60, ge=5, le=3600)
    connect_s: float = Field(3, ge=0.5, le=60)
    question_s: float = Field(10, ge=1, le=600)
    readings_s: float = Field(5, ge=0.5, le=600)
    answer_bytes: int = Field(50_000_000, ge=10_000)
    redis_scan_keys: int = Field(20_000, ge=100)
    redis_scan_s: float = Field(5, ge=0.1, le=600)
    prometheus_points: int = Field(1_000, ge=10, le=10_000)
    prometheus_rules: int = Field(300, ge=0, le=10_000)
    kubernetes_per_s: float = Field(10, ge=0.5, le=100)
    kubernetes_logs: int = Field(150, ge=0, le=10_000)
    kubernetes_all_logs: bool = False
    kubernetes_log_lines: int = Field(300, ge=1, le=100_000)
    kubernetes_log_bytes: int = Field(250_000, ge=1_000)


class Platform(_Model):
    """Where things are, and how they are called.

    namespaces  the Kubernetes namespaces of the platform, `*` stands for any letters; empty: all of the cluster
    selectors   PromQL label matchers of each exporter, put into the queries of the sources (`job="postgres"`)
    promql      PromQL that replaces the default of a Prometheus source, by source name
    """

    name: str
    systems: Systems
    namespaces: tuple[str, ...] = ()
    redis: RedisNames = RedisNames()
    selectors: dict[str, str] = {}
    promql: dict[str, str] = {}
    budget: Budget = Budget()
