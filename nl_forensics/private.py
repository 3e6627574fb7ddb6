"""Files and folders that only their owner can read, whatever the umask, and temporary folders that are always removed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, Any

PREFIX = "nl-forensics-"
FOLDER, FILE = 0o700, 0o600
SETTLED_S = 10  # a temporary folder that is younger may not be locked yet
ATTEMPTS = 20  # a process that is about to end may still write a file


def make_folder(path: Path) -> Path:
    """A folder with the parents that it lacks."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(FOLDER, exist_ok=True)
        path.chmod(FOLDER)
    return path


def opened(path: Path | str, mode: str, **options: Any) -> IO:
    """Like `open`, for writing."""
    file = open(path, mode, opener=lambda name, flags: os.open(name, flags, FILE), **options)  # noqa: SIM115
    os.fchmod(file.fileno(), FILE)
    return file


class Scratch:
    """A temporary folder. If its maker is killed before `remove`, the next one that is made removes it: it is not locked any more."""

    def __init__(self):
        _remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _locked(self.folder)

    def remove(self) -> None:
        remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, *_: object) -> None:
        self.remove()


def remove(folder: Path) -> None:
    """A folder with all that is in it."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _locked(folder: Path) -> int | None:
    """A lock that the kernel releases when this process ends, however it ends; None if another process holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned() -> None:
    """Temporary folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < SETTLED_S:
                continue
            if (lock := _locked(folder)) is not None:
                remove(folder)
                os.close(lock)
