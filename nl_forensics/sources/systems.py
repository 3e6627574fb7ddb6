"""Which system answered at all. Asked of every system, before anything else."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.column import Column

PORT_FORWARD = Permission(
    kubernetes="list services endpointslices.discovery.k8s.io; get,create pods/portforward",
    adds="systems that are reached `via: {port_forward: …}`",
)

SELF_REPORTING = ("probe",)  # whether they answer is what their own sources are about
WITHOUT_CLOCK = ("dns", "pgbouncer")  # they have no question for the time


@source(
    columns={
        "system": Column("str", "kind of the system: `postgres`, `redis`, …"),
        "answered": Column(
            "boolean",
            "false: connection refused, no free connection, timeout, untrusted certificate, or not the response of this system",
        ),
        "why": Column("str", "reason of the failure; empty if it answered"),
        "took_ms": Column("float64", "time from the first packet to the first response"),
        "version": Column("str", "version of the server", unknown="the system did not answer, or does not report it"),
        "role": Column(
            "str", "PostgreSQL role that we are connected as", unknown="the system did not answer, or is not PostgreSQL"
        ),
        "superuser": Column(
            "boolean", "whether that role is a superuser", unknown="the system did not answer, or is not PostgreSQL"
        ),
        "clock_offset_s": Column(
            "float64", "clock of the server minus ours", unknown="the system did not answer, or has no readable clock"
        ),
        "at": Column(UTC, "time of the attempt"),
    },
    covers="now",
    needs=Permission(redis="+info", kubernetes="get /version namespaces"),
    guide=("C020", "C021"),
)
def systems_reached(any_system):
    """Reachability of every system, whether it answered or not; one row per system.

    A timeout means `budget.connect_s`, also for a second attempt after a question that hung. "Permission denied" is an answer. The
    collector records these rows itself, so that they are complete even if the worker is stuck."""
    raise NotImplementedError("recorded by the collector")
