"""The recorded case that ships: an archive in the package, unpacked into a folder on first use."""

import atexit
import hashlib
import shutil
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from nl_forensics import private
from nl_forensics.inputs.parameters import home

ARCHIVE = Path(__file__).parents[1] / "demo.zip"


@cache
def demo() -> Path:
    """The folder of the demo case: below `home()`, unpacked once per version; in a temporary folder if `home()` is read-only."""
    folder = home() / f"demo-{hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    try:
        private.make_folder(home())
        unpack(ARCHIVE, folder)
    except OSError:
        place = Path(tempfile.mkdtemp(prefix="nl-forensics-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        folder = place / "demo"
        unpack(ARCHIVE, folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Atomic, also between concurrent processes: a folder that exists is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(Path(scratch, "case"))
        try:
            Path(scratch, "case").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
