"""Certificates of a cluster: authorities of its own, made when it starts and gone with it."""

from dataclasses import dataclass
from pathlib import Path

from tests.stack.process import program, run

VALID_DAYS = "30"


@dataclass(frozen=True)
class KeyPair:
    certificate: Path
    key: Path


def new_key(path):
    """A private key; elliptic curves, as RSA keys take ten times as long to make."""
    run([program("openssl"), "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])
    path.chmod(0o600)
    return path


def new_signing_keys(folder):
    """The key that signs service account tokens; its `certificate` is the public half."""
    keys = KeyPair(folder / "service-accounts.pub", new_key(folder / "service-accounts.key"))
    run([program("openssl"), "pkey", "-in", keys.key, "-pubout", "-out", keys.certificate])
    return keys


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name):
        self.folder = folder
        self.pair = KeyPair(folder / f"{name}.crt", new_key(folder / f"{name}.key"))
        request = ["req", "-x509", "-new", "-key", self.pair.key, "-days", VALID_DAYS, "-subj", f"/CN={name}"]
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
        added = [word for extension in extensions for word in ("-addext", extension)]
        run([program("openssl"), *request, "-out", self.pair.certificate, *added])

    @property
    def certificate(self):
        return self.pair.certificate

    def issue(self, name, groups=(), names=(), addresses=()):
        """A certificate for a server (its `names` and `addresses`) or a client (Kubernetes reads user and groups)."""
        pair = KeyPair(self.folder / f"{name}.crt", new_key(self.folder / f"{name}.key"))
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={name}"
        extensions = "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
        if names or addresses:
            listed = [*(f"DNS:{word}" for word in names), *(f"IP:{word}" for word in addresses)]
            extensions += f"subjectAltName={','.join(listed)}\n"
        request, options = self.folder / f"{name}.csr", self.folder / f"{name}.extensions"
        options.write_text(extensions)
        run([program("openssl"), "req", "-new", "-key", pair.key, "-subj", subject, "-out", request])
        signer = ["-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial", "-extfile", options]
        sign = ["x509", "-req", "-in", request, "-days", VALID_DAYS, *signer, "-out", pair.certificate]
        run([program("openssl"), *sign])
        return pair
