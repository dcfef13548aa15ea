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


def header(kind, size=0, form=tarfile.USTAR_FORMAT):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(form)


def sparse():
    """The old kind of GNU: the header and each block after it say that one more follows."""
    first, block = bytearray(header(tarfile.GNUTYPE_SPARSE, form=tarfile.GNU_FORMAT)), bytearray(512)
    block[504] = first[482] = 1
    first[148:156] = b"%06o\0 " % tarfile.calc_chksums(first)[0]
    return bytes(first) + bytes(block) * 3000


def for_all():
    """Each a key of its own."""
    table = ({f"key{number}": "v" * 40_000} for number in range(2))
    return b"".join(tarfile.TarInfo.create_pax_global_header(each) + header(tarfile.REGTYPE) for each in table)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header(tarfile.XHDTYPE, 2 << 20) + bytes(3 << 20), "a header is too large"),
        ((header(tarfile.GNUTYPE_LONGNAME, 9 << 10) + b"a" * (9 << 10)) * 200, "a header is too large"),
        (header(tarfile.GNUTYPE_LONGNAME) * 1500, "too many headers of one member"),
        (sparse(), "a header is too large"),
        (header(tarfile.XHDTYPE, 1 << 19) + b"1" * (1 << 19), "a number of hundreds of digits"),
        (for_all(), "the headers for all members are too large"),
    ],
    ids=["size", "long names", "chain", "sparse", "digits", "for all"],
)
def test_headers_that_would_fill_the_memory_are_not_read(tmp_path, shard, content, told):
    tar = tmp_path / "000.tar"
    tar.write_bytes(content)
    with pytest.raises(UserError, match=told):
        members_of(tar)


def test_many_long_names_are_read(tmp_path, shard):
    names = [f"{'a' * 200}/{number:04}" for number in range(1200)]
    assert list(members_of(shard(tmp_path / "000.TAR", dict.fromkeys(names, b"1")))) == names


@pytest.mark.parametrize("name", ["", ".", "./"])
def test_files_without_a_name_are_refused(tmp_path, name):
    tar = tmp_path / "000.tar"
    with tarfile.open(tar, "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(UserError, match="is no name of a file"):
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
