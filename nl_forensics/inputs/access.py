"""Which identities and workloads may have more rights than others, so that their rights are no finding."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from nl_forensics.inputs.names import NamespacedName

Folder = Annotated[str, StringConstraints(pattern=r"^/[^*]*$")]


class Access(BaseModel):
    """Exceptions from the rules about rights; `*` in a name matches any characters.

    administrators  namespace/name of service accounts that need wide rights: operators, deployment tools
    agents          namespace/workload of workloads that need rights on their node: log collectors, network plugins
    host_paths      folders of the node that any pod may mount read-only, with all below them
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    administrators: tuple[NamespacedName, ...] = ()
    agents: tuple[NamespacedName, ...] = ()
    host_paths: tuple[Folder, ...] = ()

    def is_administrator(self, namespace: str, name: str) -> bool:
        return _is_among(f"{namespace}/{name}", self.administrators)

    def is_agent(self, namespace: str, workload: str) -> bool:
        return _is_among(f"{namespace}/{workload}", self.agents)

    def is_shared_folder(self, path: str) -> bool:
        """Whether any pod may mount it read-only. A path with `..` is none."""
        inside = (f"{folder.rstrip('/')}/" for folder in self.host_paths)
        return ".." not in path.split("/") and any(f"{path}/".startswith(folder) for folder in inside)


def _is_among(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
