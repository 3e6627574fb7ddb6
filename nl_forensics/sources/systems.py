"""Which system answered at all. Asked of every system, before anything else."""

from nl_forensics.sources import UTC, Permission, source

PORT_FORWARD = Permission(
    kubernetes="list services endpointslices.discovery.k8s.io; get,create pods/portforward",
    adds="systems that are reached `via: {port_forward: …}`",
)

TELL_THEMSELVES = ("probe",)  # whether they answer is what their own sources are about


@source(
    columns={
        "system": "str",
        "answered": "boolean",
        "why": "str",
        "took_ms": "float64",
        "version": "str",
        "role": "str",
        "superuser": "boolean",
        "clock_offset_s": "float64",
        "at": UTC,
    },
    nullable=("version", "role", "superuser", "clock_offset_s"),
    covers="now",
    needs=Permission(redis="+info", kubernetes="get /version namespaces"),
    guide=("C020", "C021"),
)
def systems_reached(any_system):
    """One row per system that we tried to reach, whether it answered or not: an outage is an answer too.

    answered        false: it refused, had no free connection, gave no answer within `budget.connect_s` (also when it was asked
                    again after a question that hung), or answered as another system would, with a certificate that can't be
                    trusted, or with a page to sign in
    why             what was said instead of an answer, "" when it answered
    took_ms         from the first packet to the first answer, milliseconds
    clock_offset_s  the server's clock minus ours, seconds

    A system that answers "you may not log in" did answer. The collector records these rows itself, since only it is left when
    the one who asks is stuck.
    """
    raise NotImplementedError("recorded by the collector")
