"""Container images, made here from Debian's static busybox: no registry is asked."""

import hashlib
import io
import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from tests.stack.process import program

BUSYBOX = "localhost/busybox:1"
PAUSE = "localhost/pause:1"  # what holds a pod's namespaces
HOLD = {"Entrypoint": ["/bin/busybox", "sleep", "2147483647"]}
FOLDERS = ("bin", "dev", "etc", "lib", "lib64", "proc", "root", "sys", "tmp", "usr", "var")


def write(folder, name, command=None):
    """Write an image of that name as a file that `ctr images import` reads, and return the file's path."""
    layer = _busybox_layer()
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            # The label makes each name an image of its own; else containers would show another's name.
            "config": {"Env": ["PATH=/bin"], "Labels": {"name": name}, **(command or {"Cmd": ["sh"]})},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    configuration_name = hashlib.sha256(configuration).hexdigest() + ".json"
    manifest = [{"Config": configuration_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    parts = {configuration_name: configuration, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    file = folder / f"{configuration_name}.tar"
    file.write_bytes(_tar(parts))
    return file


@cache
def _busybox_layer():
    busybox = program("busybox")
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    files = {"bin/busybox": Path(busybox).read_bytes(), "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n"}
    links = {f"bin/{name}": "busybox" for name in listed if name != "busybox"}
    return _tar(files, links, FOLDERS)


def _tar(files, links=None, folders=()):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return written.getvalue()
