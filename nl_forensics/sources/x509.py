"""Certificates that a server sent: names, dates, key, issuer, and the length of the chain."""

import ipaddress
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID

UNREADABLE = (
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
    TypeError,
)


class Served(NamedTuple):
    """A chain as it was served, read.

    names          that the server's own certificate is for, DNS names and addresses
    key            `EC 256`, `RSA 2048`; key_bits: of its strength as the kind counts
    signature      hash of the signature, `sha256`
    self_signed    it is signed by itself
    chain          subjects from the server's certificate upwards, as far as what was served leads
    ends_in_root   the last of them is signed by itself
    issuer         of the last of them
    issuer_url     where the issuer's certificate can be downloaded, "" if the server's certificate does not say
    """

    subject: str
    names: tuple[str, ...]
    serial: str
    fingerprint: str
    not_before: str
    not_after: str
    key_kind: str
    key_bits: int
    signature: str
    self_signed: bool
    chain: tuple[str, ...]
    ends_in_root: bool
    issuer: str
    issuer_url: str


def read(chain: list[str]) -> Served:
    """Certificates as PEM, the server's own first. Raises ValueError if one can't be parsed: a server may send any bytes."""
    try:
        return _read(chain)
    except UNREADABLE as error:
        raise ValueError(f"a certificate can't be parsed: {error}") from error


def _read(chain: list[str]) -> Served:
    served = [x509.load_pem_x509_certificate(one.encode()) for one in chain]
    leaf, path = served[0], _path(served)
    kind, bits = _key(leaf)
    return Served(
        subject=_name_of(leaf.subject) or ", ".join(_names(leaf)[:1]),
        names=tuple(_names(leaf)),
        serial=f"{leaf.serial_number:x}",
        fingerprint=leaf.fingerprint(SHA256()).hex(),
        not_before=leaf.not_valid_before_utc.isoformat(),
        not_after=leaf.not_valid_after_utc.isoformat(),
        key_kind=kind,
        key_bits=bits,
        signature=leaf.signature_hash_algorithm.name if leaf.signature_hash_algorithm else "",
        self_signed=_signed_by(leaf, leaf),
        chain=tuple(_name_of(one.subject) for one in path),
        ends_in_root=_signed_by(path[-1], path[-1]),
        issuer=_name_of(path[-1].issuer),
        issuer_url=_issuer_url(leaf),
    )


def fits(names: tuple[str, ...], host: str) -> bool:
    """Whether one of the names is that of the host: `*` stands for one label, at the left only (RFC 6125)."""
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wild = "*." + host.partition(".")[2]
        return any(name.lower() in (host, wild) for name in names)
    return any(name == str(address) for name in names)


def _path(served: list[x509.Certificate]) -> list[x509.Certificate]:
    """From the server's certificate to its issuer, and so on, in whatever order they were sent."""
    path = [served[0]]
    while not _signed_by(path[-1], path[-1]):
        above = next((one for one in served if one not in path and _signed_by(one, path[-1])), None)
        if above is None:
            break
        path.append(above)
    return path


def _signed_by(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name_of(name: x509.Name) -> str:
    """The common name, else the whole of it."""
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    key: Any = certificate.public_key()
    kinds = {ec.EllipticCurvePublicKey: "EC", rsa.RSAPublicKey: "RSA"}
    kind = next(
        (word for of, word in kinds.items() if isinstance(key, of)), type(key).__name__.removesuffix("PublicKey")
    )
    return kind, getattr(key, "key_size", 256)  # Ed25519 has one size


def _issuer_url(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ""
    wanted = AuthorityInformationAccessOID.CA_ISSUERS
    return next((str(one.access_location.value) for one in found if one.access_method == wanted), "")
