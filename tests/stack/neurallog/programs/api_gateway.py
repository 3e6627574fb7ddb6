"""api-gateway: takes customers' requests, checks key and rate, and passes them on to the tenant's log-server."""

import time

import requests
from prometheus_client import Counter

from tests.stack.neurallog.programs.service import PATIENCE_S, Refused, Service

AUTH_SERVICE = "http://auth-service.neurallog-system:8080"
BILLING_SERVICE = "http://billing-service.neurallog-system:8080"
LOG_SERVER = "http://log-server.tenant-{tenant}:8080"
CREDENTIALS = ("X-Api-Key", "Authorization")
LIMITED = Counter("rate_limited", "Requests refused because a tenant sent too many", ["tenant"])

service = Service("requests_per_minute")
others = requests.Session()
others.trust_env = False


def ask(method, url, request, **options):
    """Ask another service; its refusal is ours, its failure is a bad gateway."""
    headers = {"X-Request-Id": request.number, "X-Forwarded-For": request.client}
    headers |= {name: request.headers[name] for name in CREDENTIALS if name in request.headers}
    began = time.monotonic()
    try:
        answer = others.request(method, url, headers=headers, timeout=PATIENCE_S, **options)
    finally:
        request.waited_s.append(time.monotonic() - began)
    if answer.status_code >= 500:
        raise Refused(502, f"{url}: {answer.status_code}")
    if answer.status_code >= 400:
        raise Refused(answer.status_code, answer.json()["error"])
    return answer.json()


def tenant_of(request):
    credential = "token" if "Authorization" in request.headers else "key"
    tenant = ask("GET", f"{AUTH_SERVICE}/v1/{credential}", request)
    minute = f"rate:{tenant['name']}:{int(time.time() // 60)}"
    sent = service.redis.incr(minute)
    service.redis.expire(minute, 120)
    if sent > service.settings["requests_per_minute"]:
        LIMITED.labels(tenant["name"]).inc()
        raise Refused(429, "too many requests")
    return tenant["name"]


@service.route("POST", "/v1/logs")
def send(request):
    """Take log lines: {"lines": [{"level": …, "message": …}, …]}."""
    return ask("POST", f"{LOG_SERVER.format(tenant=tenant_of(request))}/v1/lines", request, data=request.body)


@service.route("GET", "/v1/logs")
def read(request):
    """The newest lines."""
    return ask("GET", f"{LOG_SERVER.format(tenant=tenant_of(request))}/v1/lines", request)


@service.route("GET", "/v1/invoices")
def invoices(request):
    """The invoices of the last year."""
    return ask("GET", f"{BILLING_SERVICE}/v1/invoices/{tenant_of(request)}", request)


if __name__ == "__main__":
    service.run()
