"""The network: names that the cluster resolves."""

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import MILLISECONDS, RATE


@chart("Cluster DNS responses")
def dns_answers(canvas: Canvas, prom_dns_answers):
    """Answers of CoreDNS a second, by code. NXDOMAIN is usual: clients try each search domain in turn."""
    return drawn_lines(canvas, prom_dns_answers, ("rcode",), "answers_per_s", RATE, "responses per second")


@chart("Cluster DNS latency")
def dns_slowest(canvas: Canvas, prom_dns_slowest):
    """Time within which CoreDNS answered 99 % of the requests."""
    return drawn_lines(canvas, prom_dns_slowest, ("instance",), "p99_ms", MILLISECONDS, "p99 latency")
