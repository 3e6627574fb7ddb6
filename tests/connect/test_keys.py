"""No key of the analyst is on a disk after a command, however it ended; plugins end with it; others read no case and no report."""

import base64
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.investigation import QUICK, Investigation
from tests.stack.process import HOST
from tests.stack.tls import Authority, serving

pytestmark = pytest.mark.server  # each command is a process of its own
LOOKS_LIKE_A_KEY = re.compile(
    rb"PRIVATE KEY|BEGIN CERTIFICATE|\"key\": *\"[0-9a-f-]{20,}|curve_secretkey|eyJ[\w-]{10,}\.eyJ|sign-me-in"
)
SOON_S = 3


@pytest.fixture
def api(tmp_path):
    """Answers whoever proves to have the certificate, with a text that is not Kubernetes'."""
    authority = Authority(tmp_path)
    with serving(authority.chain(HOST, "localhost"), delay_s=0.1) as server:
        server.authority, server.pair = authority, authority.chain("analyst")
        yield server


def kubeconfig(path, api, user):
    cluster = {"server": f"https://localhost:{api.port}", "certificate-authority-data": _base64(api.authority.root)}
    given = {
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "current-context": "c",
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"} | given))
    return path


def _base64(file):
    return base64.b64encode(file.read_bytes()).decode()


def with_certificate(api):
    return {"client-certificate-data": _base64(api.pair.certificates), "client-key-data": _base64(api.pair.key)}


def with_plugin(folder, program):
    """A credential plugin, as its program is written here."""
    (folder / "plugin.py").write_text(program)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(folder / "plugin.py")]}}


@pytest.fixture
def place():
    """The folders in which keys are looked for; the kubeconfig lies elsewhere. A socket's path has 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="k-") as folder:
        for name in ("tmp", "home", "work"):
            (Path(folder) / name).mkdir()
        yield Path(folder)


def asking(place, kube):
    asked = Investigation(
        place / "work", {"kubernetes": {"main": str(kube)}}, QUICK | {"deadline_s": 20, "connect_s": 3}
    )
    elsewhere = dict.fromkeys(("NL_FORENSICS_HOME", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"))
    environment = {"TMPDIR": place / "tmp", "HOME": place / "home", "KUBECONFIG": kube}
    environment |= {"NL_FORENSICS_WORKSPACE": place / "work", "PYTHONPATH": Path(__file__).parents[2]}
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return asked, kept | {name: str(value) for name, value in environment.items()}


def keys_in(place):
    """Files that look as if they held a key. The key of pseudonyms, which stays, has no such form."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.relative_to(place) for path in files if LOOKS_LIKE_A_KEY.search(path.read_bytes())]


def readable_by_others(folder):
    paths = [folder, *folder.rglob("*")] if folder.exists() else []
    return [path.name for path in paths if path.stat().st_mode & 0o777 != (0o700 if path.is_dir() else 0o600)]


def is_clean(place):
    return not keys_in(place) and not list((place / "tmp").glob("nl-forensics-*"))


def wait_until(true, within_s=SOON_S):
    until = time.monotonic() + within_s
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("command", ["collect", "doctor", "now"])
def test_no_command_leaves_a_key(command, api, place, tmp_path):
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_certificate(api)))
    words = [command] if command == "now" else [command, asked.file]
    done = asked.run(*words, environment=environment, umask=0)
    assert done.returncode in (1, 3), done.stderr
    assert [one for name in ("case", "cases") for one in readable_by_others(place / "work" / name)] == []
    assert api.asked  # the certificate was good
    assert is_clean(place), keys_in(place)


def test_a_report_leaves_no_key(place, tmp_path):
    """The messages of its kernels are encrypted with keys in a file."""
    asked, environment = asking(place, tmp_path / "none")
    done = asked.run("report", "demo", "--sections", "05", "--out", place / "report", environment=environment, umask=0)
    assert done.returncode in (1, 3), done.stderr
    assert is_clean(place), keys_in(place)
    assert readable_by_others(place / "report") == []


@pytest.mark.parametrize("moment_s", [0.5, 1.5])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_collection_that_is_killed_at_any_moment_leaves_no_key(how, moment_s, api, place, tmp_path):
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_certificate(api)))
    api.delay_s = 5
    process = asked.start("collect", asked.file, environment=environment)
    time.sleep(moment_s)
    os.killpg(process.pid, how)
    process.communicate(timeout=30)
    files = lambda: [path for path in place.glob("tmp/nl-forensics-*/**/*") if path.is_file()]  # noqa: E731
    assert wait_until(lambda: not keys_in(place) and not files()), (
        keys_in(place),
        files(),
    )  # an empty folder goes later


def test_a_folder_of_processes_that_were_all_killed_goes_with_the_next_command(api, place, tmp_path):
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_certificate(api)))
    abandoned = place / "tmp" / "nl-forensics-abandoned"
    abandoned.mkdir()
    (abandoned / "key").write_text("-----BEGIN PRIVATE KEY-----")
    os.utime(abandoned, (time.time() - 3600,) * 2)
    asked.run("collect", asked.file, environment=environment)
    assert is_clean(place), keys_in(place)


@pytest.mark.parametrize("how", ["its end", "SIGKILL"])
def test_a_credential_plugin_that_hangs_ends_with_the_collection(how, api, place, tmp_path):
    """Its child, too. What it says is neither shown as it is, nor as an outage of the system."""
    program = (
        "import os, subprocess, sys, time\n"
        f"open({str(tmp_path / 'pid')!r}, 'a').write(f'{{os.getpid()}} ')\n"
        "sys.stderr.write('\\x1b]0;owned\\x07sign-me-in'); sys.stderr.flush()\n"
        f"child = subprocess.Popen(['sleep', '60']); open({str(tmp_path / 'pid')!r}, 'a').write(f'{{child.pid}} ')\n"
        "time.sleep(60)\n"
    )
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_plugin(tmp_path, program)))
    process = asked.start("collect", asked.file, environment=environment)
    started = lambda: (tmp_path / "pid").exists() and len((tmp_path / "pid").read_text().split()) >= 2  # noqa: E731
    assert wait_until(started, 10)
    if how == "SIGKILL":
        process.kill()
    _, warned = process.communicate(timeout=60)
    pids = (tmp_path / "pid").read_text().split()
    assert wait_until(lambda: not any(_lives(pid) for pid in pids))
    assert "\x1b]" not in warned
    assert is_clean(place), keys_in(place)


def _lives(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_plugin_that_fails_is_quoted_as_plain_text(api, place, tmp_path):
    program = "import sys; sys.exit('\\x1b]0;owned\\x07no\\u202e session\\x9b31m')"
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_plugin(tmp_path, program)))
    done = asked.run("doctor", asked.file, environment=environment)
    said = done.stdout + done.stderr
    assert "no  session" in said
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(said)


def test_a_plugin_with_a_certificate_leaves_no_key(api, place, tmp_path):
    status = {
        "clientCertificateData": api.pair.certificates.read_text(),
        "clientKeyData": api.pair.key.read_text(),
        "token": "sign-me-in",
    }
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": status,
    }
    program = f"print({json.dumps(credential)!r})"
    asked, environment = asking(place, kubeconfig(tmp_path / "kube", api, with_plugin(tmp_path, program)))
    done = asked.run("collect", asked.file, environment=environment)
    assert api.asked, done.stderr
    assert is_clean(place), keys_in(place)
