"""Results on disk: found again, bounded, and never wrong."""

import os

import pytest

from protoexplain.io.cache import DiskCache, cache_folder

KEYS = [f"{n:02x}aa" for n in range(8)]


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "kept")


def test_bytes_come_back(cache):
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], b"some bytes")
    cache.put(KEYS[1], b"")
    assert cache.get(KEYS[0]) == b"some bytes"
    assert cache.get(KEYS[1]) == b""
    assert DiskCache(cache.folder).get(KEYS[0]) == b"some bytes"


@pytest.mark.parametrize("damage", [b"", b"no zlib", None])
def test_damage_counts_as_missing(cache, damage):
    cache.put(KEYS[0], b"some bytes" * 100)
    (file,) = cache.folder.glob("??/*")
    file.write_bytes(file.read_bytes()[:-3] if damage is None else damage)
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], b"again")
    assert cache.get(KEYS[0]) == b"again"


def test_the_longest_unused_make_room(tmp_path):
    cache = DiskCache(tmp_path, max_bytes=4500)
    for age, key in enumerate(KEYS[:4]):
        cache.put(key, os.urandom(1000))
        for file in tmp_path.glob(f"??/{key}"):
            os.utime(file, (age, age))
    assert cache.get(KEYS[0]) is not None
    cache.put(KEYS[4], os.urandom(1000))
    assert [key for key in KEYS if cache.get(key) is not None] == [KEYS[0], KEYS[2], KEYS[3], KEYS[4]]
    assert sum(file.stat().st_size for file in tmp_path.glob("??/*")) <= cache.max_bytes


def test_what_killed_programs_left_unfinished_is_removed(cache, dead_pid):
    """Also beside results that nobody asks for again."""
    cache.put(KEYS[0], b"some bytes")
    left = [cache.folder / key[:2] / f"{key}.tmp-{dead_pid}-0a1b" for key in KEYS[:2]]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    DiskCache(cache.folder).put(KEYS[2], b"others")
    assert not any(path.exists() for path in left)
    assert cache.get(KEYS[0]) == b"some bytes"


def test_a_cache_that_cannot_be_written_is_no_trouble(tmp_path):
    (tmp_path / "kept").write_text("a file where the folder should be")
    cache = DiskCache(tmp_path / "kept")
    cache.put(KEYS[0], b"bytes")
    assert cache.get(KEYS[0]) is None


def test_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "protoexplain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "protoexplain"
