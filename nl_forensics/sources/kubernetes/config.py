"""Config maps, without what is in them."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.kubernetes.changes import last_change
from nl_forensics.sources.kubernetes.kinds import CONFIG_MAPS
from nl_forensics.sources.kubernetes.reading import joined, listed, named
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "changed_at": UTC,
        "changed_by": "str",
        "keys": "str",
        "data_bytes": "Int64",
        "data_digest": "str",
        "immutable": "boolean",
    },
    nullable=("changed_at",),
    covers="now",
    needs=Permission(kubernetes="list configmaps"),
    guide=("C004", "C089"),
)
def k8s_config_maps(kubernetes, incident, platform):
    """One row per config map in scope; its data are hashed as they arrive, and never kept.

    changed_at, changed_by   the last write and the program that made it (`kubectl-edit`), null and "" when not noted
    keys         names, such as those of files
    data_digest  changes with the data
    """
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
