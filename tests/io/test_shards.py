"""Members of tar files are read in place; what could lead elsewhere, or never ends, is refused by name."""

import io
import tarfile

import numpy as np
import pytest

from protoexplain.errors import UserError
from protoexplain.io import shards
from protoexplain.io.images import image_size, load_image, sha256_of
from protoexplain.io.shards import file_state, members_of, open_file, shard_of

LINKS = {"symbolic link": tarfile.SYMTYPE, "link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}


def special(kind):
    info = tarfile.TarInfo("a.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_members_are_files(tmp_path, shard, picture):
    single = picture(tmp_path / "b.png", 1, (50, 20))
    tar = shard(tmp_path / "000.tar", {"./a/b.png": single.read_bytes(), "c.txt": b"text"})
    member = tar / "a" / "b.png"
    assert (shard_of(member), shard_of(single)) == (tar, None)
    assert (image_size(member), sha256_of(member)) == ((50, 20), sha256_of(single))
    assert np.array_equal(load_image(member).rgb, load_image(single).rgb)
    assert open_file(tar / "c.txt").read() == b"text"
    assert file_state(member) == file_state(tar)


def test_a_folder_may_be_called_like_a_tar_file(tmp_path, picture):
    assert load_image(picture(tmp_path / "000.tar" / "a.png")).size == (40, 30)


def test_errors_name_the_member(tmp_path, shard):
    tar = shard(tmp_path / "000.tar", {"a.png": b"no picture"})
    for name in ("a.png", "b.png", "../000.tar/a.png/x"):
        with pytest.raises(UserError) as refused:
            load_image(tar / name)
        assert refused.value.where == str(tar / name)


@pytest.mark.parametrize("kind", LINKS)
def test_links_and_devices_are_refused(tmp_path, shard, kind):
    tar = shard(tmp_path / "000.tar", {"c.txt": b"", "a.png": special(LINKS[kind])})
    with pytest.raises(UserError, match=r"'a.png' is no regular file"):
        members_of(tar)


@pytest.mark.parametrize(
    "name", ["/etc/a.png", "../a.png", "a/../../b.png", "C:\\a.png", "\\\\host\\a.png", "..\\a.png"]
)
def test_paths_that_lead_out_are_refused(tmp_path, shard, name):
    with pytest.raises(UserError, match="leads out of the tar file"):
        members_of(shard(tmp_path / "000.tar", {name: b""}))


def test_what_is_there_twice_cut_off_or_compressed(tmp_path, shard):
    tar = shard(tmp_path / "000.tar", {"a": b"1" * 3000, "b": b"2" * 3000})
    content = tar.read_bytes()
    changed = {
        "is cut off": content[:2000],
        "damaged": content[:3584] + b"x" * 512 + content[4096:],
        "compressed": b"\x1f\x8b" + content,
        "not a plain one": b"",
    }
    for told, bytes_ in changed.items():
        tar.write_bytes(bytes_)
        with pytest.raises(UserError, match=told):
            members_of(tar)
    with tarfile.open(tar, "w") as archive:
        for name in ("a", "./a"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(UserError, match="is there twice"):
        members_of(tar)


def test_limits(tmp_path, shard, monkeypatch):
    tar = shard(tmp_path / "000.tar", {"a": b"12345", "b": b"1"})
    monkeypatch.setattr(shards, "MAX_BYTES", 4)
    assert open_file(tar / "b").read() == b"1"
    with pytest.raises(UserError, match="the member has 5 bytes; up to 4 are read"):
        open_file(tar / "a")
    monkeypatch.setattr(shards, "MAX_MEMBERS", 1)
    monkeypatch.setattr(shards, "_FORMAT", "other")
    shards._members.cache_clear()
    with pytest.raises(UserError, match="more than 1 members"):
        members_of(tar)


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path, shard):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2 << 20
    tar = tmp_path / "000.tar"
    tar.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(3 << 20))
    with pytest.raises(UserError, match="a header is too large"):
        members_of(tar)


def test_where_members_lie_is_found_out_once(tmp_path, shard, monkeypatch):
    tar = shard(tmp_path / "000.tar", {"a": b"1"})
    found = members_of(tar)
    shards._members.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_looked_through", None)
        assert members_of(tar) == found
    for kept in (tmp_path / "cache").rglob("??/*"):
        kept.write_bytes(b"damaged")
    shards._members.cache_clear()
    assert members_of(tar) == found
    shard(tar, {"b": b"22"})
    assert list(members_of(tar)) == ["b"]
