"""An authority whose certificates we trust, and a small cluster."""

import pytest

from tests.asking import link
from tests.kept import kept
from tests.sources.shop import READER, shop_on_a_cluster
from tests.stack.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return kept("shop", lambda: shop_on_a_cluster(tmp_path_factory.mktemp("logs")))


@pytest.fixture(scope="module")
def asked(shop):
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    yield opened
    opened.close()
