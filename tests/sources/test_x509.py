"""Why OpenSSL is asked whether a certificate is accepted: `cryptography` also refuses chains that clients accept."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tests.stack.tls import Authority, self_signed

HOST = "localhost"
REFUSED = {
    "incomplete": lambda a: a.chain(HOST, complete=False),
    "expired": lambda a: a.chain(HOST, left=-0.1),
    "not yet valid": lambda a: a.chain(HOST, left=1.1),
    "another name": lambda a: a.chain("shop.example"),
    "self-signed": lambda a: self_signed(a.folder, HOST),
}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def accepted_by_openssl(chain, root):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain.certificates, chain.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=root).wrap_bio(down, up, server_hostname=HOST)
    sides = (client, server.wrap_bio(up, down, server_side=True), client)
    for side in sides:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            return False
    return client.version() is not None


def objection_of_cryptography(chain, root):
    leaf, *others = x509.load_pem_x509_certificates(Path(chain.certificates).read_bytes())
    policy = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(root.read_bytes())))
    try:
        policy.build_server_verifier(x509.DNSName(HOST)).verify(leaf, others)
    except VerificationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("fault", REFUSED)
def test_both_refuse_a_faulty_chain(fault, authority):
    chain = REFUSED[fault](authority)
    assert not accepted_by_openssl(chain, authority.root)
    assert objection_of_cryptography(chain, authority.root)


def test_only_cryptography_requires_the_key_usage_of_an_authority(authority):
    chain = authority.chain(HOST)
    assert accepted_by_openssl(chain, authority.root)
    assert "2.5.29.15" in objection_of_cryptography(chain, authority.root)  # the number of the extension keyUsage
