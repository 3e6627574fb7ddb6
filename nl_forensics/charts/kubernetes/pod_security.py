"""What containers may do on their node."""

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named
from nl_forensics.charts.style import HEALTHY, PLAIN, UNHEALTHY
from nl_forensics.facts.kubernetes.pod_security import baseline

NODE, FOLDERS, CAPABILITIES, ROOT, TOKEN = "node", "folders of the node", "capabilities", "user", "token"
COLUMNS = (NODE, FOLDERS, CAPABILITIES, ROOT, TOKEN)


@chart("Rights of containers on their node")
def container_rights(canvas: Canvas, k8s_pod_security):
    """One line per container of each workload, those that break the level baseline on top; without folders that the platform excepts."""
    if k8s_pod_security.empty:
        return canvas.say("No pod was found.")
    rows = k8s_pod_security.drop_duplicates(["instance", "namespace", "workload", "container"])
    other = rows["container"].where(rows["container"] != rows["workload"], "")
    rows = rows.assign(title=named(rows.assign(container=other), "namespace", "workload", "container"))
    broken = baseline(rows)
    faults = dict(zip(broken["title"], broken["broken"], strict=True))
    rows = rows.assign(is_well=~rows["title"].isin(faults)).sort_values(["is_well", "title"], kind="stable")
    canvas.grid({str(row.title): _cells(row) for row in rows.itertuples()}, COLUMNS)
    words = listed((f"{name}: {said}" for name, said in faults.items()), 5)
    return f"{words or f'{len(rows)} containers keep to the level baseline'}; {asked(rows)}."


def _cells(row) -> dict[str, Cell]:
    node = (
        "privileged" if row.privileged else row.host_namespaces or (f"ports {row.host_ports}" if row.host_ports else "")
    )
    dangerous = PLAIN if row.is_agent else UNHEALTHY
    return {
        NODE: Cell(node, dangerous) if node else Cell("no", HEALTHY),
        FOLDERS: Cell(row.host_folders, dangerous) if row.host_folders else Cell("no", HEALTHY),
        CAPABILITIES: Cell(row.added_capabilities, dangerous)
        if row.added_capabilities
        else Cell("none" if row.drops_all else "default", HEALTHY),
        ROOT: Cell("may be root") if row.may_be_root else Cell("not root", HEALTHY),
        TOKEN: Cell(row.service_account) if row.mounts_token else Cell("none", HEALTHY),
    }
