"""Config maps, without their data."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.changes import last_change
from nl_forensics.sources.kubernetes.kinds import CONFIG_MAPS
from nl_forensics.sources.kubernetes.reading import joined, listed, named
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "changed_at": Column(UTC, "last write", unknown="the object records no write"),
        "changed_by": Column("str", "program of the last write (`kubectl-edit`); empty if not recorded"),
        "keys": Column("str", "names of its keys, such as file names"),
        "data_bytes": Column("Int64", "size of its values"),
        "data_digest": Column("str", "digest of its data"),
        "immutable": Column("boolean", "its data can't be changed"),
    },
    covers="now",
    needs=Permission(kubernetes="list configmaps"),
    guide=("C004", "C089"),
)
def k8s_config_maps(kubernetes, incident, platform):
    """One row per config map in scope; its data is hashed on arrival and never recorded."""
    found = yield from listed(kubernetes, CONFIG_MAPS, incident, platform)
    for one in found:
        change = last_change(one)
        yield named(one) | {
            "changed_at": change.get("time"),
            "changed_by": change.get("manager", ""),
            "keys": joined(one["keys"]),
            "data_bytes": one["dataBytes"],
            "data_digest": one["dataDigest"],
            "immutable": bool(one.get("immutable")),
        }
