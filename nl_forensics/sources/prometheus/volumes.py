"""How full the volumes are, as the kubelet (by claim) or node_exporter (by mount point) sees them."""

from nl_forensics.sources.prometheus.series import series

NOT_A_DISK = "tmpfs|ramfs|overlay|squashfs|iso9660|nsfs|fuse.lxcfs"
AVAILABLE = "kubelet_volume_stats_available_bytes", "node_filesystem_avail_bytes"
CAPACITY = "kubelet_volume_stats_capacity_bytes", "node_filesystem_size_bytes"


def _by_volume(metrics: tuple[str, str], expression: str = "METRIC") -> str:
    """An expression over METRIC from either exporter, by node, namespace and volume (claim or mount point)."""
    claims, mounts = metrics
    of_claims = expression.replace("METRIC", claims + "{{{volumes}}}")
    of_mounts = expression.replace("METRIC", mounts + '{{fstype!~"' + NOT_A_DISK + '",{volumes}}}')
    return (
        f'min by (instance, namespace, volume) (label_replace({of_claims}, "volume", "$1", "persistentvolumeclaim", "(.*)")'
        f' or label_replace({of_mounts}, "volume", "$1", "mountpoint", "(.*)"))'
    )


VOLUME = ("target", "namespace", "volume")

series(
    "prom_volume_available",
    _by_volume(AVAILABLE),
    value="available_bytes",
    meaning="free space for ordinary users",
    labels=VOLUME,
    guide=("C071", "C130"),
    doc="""Free space of each volume, per step.

    `target` is the node.""",
)

series(
    "prom_volume_size",
    _by_volume(CAPACITY),
    value="size_bytes",
    meaning="size of the volume",
    labels=VOLUME,
    guide=("C071", "C130"),
    doc="""Size of each volume, per step.""",
)

series(
    "prom_volume_growth",
    _by_volume(AVAILABLE, "(-deriv(METRIC[6h]) and METRIC offset 3h)"),
    value="growth_bytes_per_s",
    meaning="rate at which the volume filled over the last 6 h; negative: it emptied",
    labels=VOLUME,
    sparse=True,
    guide=("C071", "C130"),
    doc="""Growth of the used space of each volume, per step.

    No value for a volume younger than 3 h: a trend of minutes does not predict days.""",
)
