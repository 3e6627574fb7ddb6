"""A small cluster that all of the sources are asked about: one workload that is well, and one of each other kind."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from nl_forensics import permissions, sources
from tests.asking import ask, link, platform
from tests.stack.kubernetes import fake_nodes
from tests.stack.kubernetes.api import Refused
from tests.stack.kubernetes.api_faults import misbehaving
from tests.stack.kubernetes.cluster import cluster

OURS = [name for name, one in sources.load().items() if one.system == "kubernetes"]
READER = "reader"
SECRET = "hunter2-is-a-value"
GROUPS = "neurallog.io"
EVERYWHERE = platform(namespaces=())
UNREADABLE = "unable to retrieve container logs for containerd://0123"
NOT_SOON = datetime.now(UTC) + timedelta(hours=12)  # for a job that no test shall meet

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: other}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{settings.json: "{SECRET}"}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: quota, namespace: shop}}
spec: {{hard: {{requests.memory: 1Gi, pods: "10"}}}}
---
apiVersion: v1
kind: LimitRange
metadata: {{name: limits, namespace: shop}}
spec: {{limits: [{{type: Container, defaultRequest: {{cpu: 50m, memory: 32Mi}}, default: {{memory: 64Mi}}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      initContainers:
      - {{name: migrate, image: "example/migrate:1", resources: {{requests: {{cpu: 500m, memory: 16Mi}}}}}}
      - {{name: proxy, image: "example/proxy:1", restartPolicy: Always}}
      containers:
      - name: web
        image: example/web:1
        command: ["run", "--password={SECRET}"]
        env: [{{name: PASSWORD, value: "{SECRET}"}}]
        envFrom: [{{configMapRef: {{name: settings}}}}]
        ports: [{{name: http, containerPort: 8080}}]
        resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{memory: 128Mi}}}}
        livenessProbe: {{httpGet: {{path: /health, port: http}}, periodSeconds: 5, failureThreshold: 2}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: store, namespace: other}}
spec:
  replicas: 1
  serviceName: store
  selector: {{matchLabels: {{app: store}}}}
  template:
    metadata: {{labels: {{app: store}}}}
    spec: {{containers: [{{name: store, image: "example/store:1"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}, {{name: admin, port: 81, targetPort: admin}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: shop}}
spec: {{selector: {{app: nobody}}, ports: [{{port: 80}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web, namespace: shop}}
spec:
  ingressClassName: nginx
  tls: [{{hosts: [shop.example], secretName: shop-tls}}]
  rules:
  - host: shop.example
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{name: http}}}}}}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: nginx, annotations: {{ingressclass.kubernetes.io/is-default-class: "true"}}}}
spec: {{controller: k8s.io/ingress-nginx}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: only-dns, namespace: shop}}
spec: {{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{{ports: [{{port: 53, protocol: UDP}}]}}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: shop}}
spec: {{minAvailable: 3, selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  minReplicas: 3
  maxReplicas: 5
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly, namespace: shop}}
spec:
  schedule: "0 {NOT_SOON.hour} * * *"
  jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: night, image: "example/night:1"}}]}}}}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: none, resources: {{requests: {{storage: 10Gi}}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: tenants.{GROUPS}}}
spec:
  group: {GROUPS}
  scope: Cluster
  names: {{kind: Tenant, listKind: TenantList, plural: tenants, singular: tenant}}
  versions:
  - name: v1beta3
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: {GROUPS}/v1beta3
kind: Tenant
metadata: {{name: globex}}
spec: {{contact: "{SECRET}"}}
"""


@contextmanager
def shop_on_a_cluster(folder):
    """A small cluster: one workload that is well, of which one pod was killed for its memory, and one of each other kind."""
    with cluster(nodes=2, audit=True) as running:
        running.apply(SHOP)
        pods = running.wait("Pod", namespace="shop", until=lambda all_: len(all_) == 3 and all(map(is_ready, all_)))
        running.wait("Deployment", "web", "shop", until=lambda one: one["status"].get("availableReplicas") == 3)
        running.wait("Pod", "store-0", "other", until=lambda pod: is_ready(pod))
        running.wait("ResourceQuota", "quota", "shop", until=used_of)
        _kill_for_memory(running, pods[0]["metadata"]["name"], folder)
        running.kubeconfig(READER, permissions.kubernetes_rules())
        yield running


def used_of(quota):
    return quota.get("status", {}).get("used") or {}


def is_ready(pod):
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", [])
    )


def _kill_for_memory(running, name, folder):
    """As the kubelet would tell it, with the logs of before and after."""
    now, before = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago)) for ago in (5, 60))
    files = {
        "current": [f"{now} stdout F level=info msg=started", f"{now} stdout F ready"],
        "previous": [
            f'{before} stderr F {{"level": "error", "message": "no room for 17 items of cus_12345678901234"}}'
        ],
    }
    for file, lines in files.items():
        (folder / file).write_text("\n".join(lines) + "\n")
    running.apply(fake_nodes.logs(name, "shop", "web", folder / "current", folder / "previous"))
    _wait_for_log(running, name)
    pod = running.get("Pod", name, "shop")
    statuses = pod["status"]["containerStatuses"]
    ended = {"reason": "OOMKilled", "exitCode": 137, "startedAt": before, "finishedAt": now, "containerID": "fake://1"}
    statuses[0] |= {"restartCount": 1, "lastState": {"terminated": ended}}
    running.patch("Pod", name, {"status": {"containerStatuses": statuses}}, "shop", "/status")


def _wait_for_log(running, name, within_s=30):
    """Until the fake kubelet has heard of the file."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            running.api.request("GET", f"/api/v1/namespaces/shop/pods/{name}/log?container=web")
        except Refused:
            time.sleep(0.2)
        except ValueError:  # it answers, and lines are no JSON
            return


@contextmanager
def opened_through(shop, faults, user=READER):
    with misbehaving(shop, faults, user) as kubeconfig:
        opened = link("kubernetes", str(kubeconfig))
        yield opened
        opened.close()


def everywhere(opened, name, **options):
    return ask(opened, name, platform_=EVERYWHERE, **options)
