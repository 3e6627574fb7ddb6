"""The demo case that ships: unpacked once, whole, wherever that can be done."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from nl_forensics.evidence import demo
from nl_forensics.evidence.case import Case


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A machine on which the demo case was never opened."""
    demo.demo.cache_clear()
    monkeypatch.setenv("NL_FORENSICS_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    demo.demo.cache_clear()


def test_the_demo_case_is_unpacked_below_home_once(fresh):
    folder = demo.demo()
    assert folder.parent == fresh
    assert Case(folder).verify() == []
    before = folder.stat().st_ino
    demo.demo.cache_clear()
    assert demo.demo().stat().st_ino == before
    assert [path.name for path in fresh.iterdir()] == [folder.name], "nothing else is left"


def test_several_processes_unpack_it_at_once(tmp_path):
    folder = tmp_path / "demo"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: demo.unpack(demo.ARCHIVE, folder), range(4)))
    assert Case(folder).verify() == []
    assert list(tmp_path.iterdir()) == [folder]


def test_where_home_cannot_be_written_it_is_unpacked_for_this_process(fresh):
    fresh.write_text("a file, not a folder")
    assert Case(demo.demo()).verify() == []
    assert not demo.demo().is_relative_to(fresh)


def test_a_damaged_archive_leaves_nothing(tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(demo.ARCHIVE.read_bytes()[:-1000])
    with pytest.raises(Exception, match="zip"):
        demo.unpack(broken, tmp_path / "case")
    assert list(tmp_path.iterdir()) == [broken]
