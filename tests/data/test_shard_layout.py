"""Pictures in tar files: splits by names, classes in .cls and .json, samples that cannot be used."""

import json

import pytest

from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError


@pytest.fixture
def write(tmp_path, shard, picture):
    """Writes a tar file of pictures beside what is given by suffix, for each sample."""

    def write(name, notes):
        content = picture(tmp_path / "picture.png").read_bytes()
        members = {}
        for number, parts in enumerate(notes):
            members |= {f"a/{number:03}{suffix}": text for suffix, text in {".png": content, **parts}.items() if text}
        shard(tmp_path / "birds" / name, members)
        return tmp_path / "birds"

    return write


def test_numbers_with_a_list_of_names(tar_shards):
    found = read_image_set(tar_shards)
    assert (found.source, found.classes, found.problems) == ("shards", ("hawk", "owlet"), ())
    assert (found.counts("train"), found.counts("test")) == ([3, 3], [1, 1])
    assert found.records[0].id == "test-000.tar/0007.png"
    (tar_shards / "classes.txt").unlink()
    assert read_image_set(tar_shards).classes == ("0", "1")
    (tar_shards / "classes.txt").write_text("hawk\n")
    with pytest.raises(UserError, match="no line for class 1"):
        read_image_set(tar_shards)


def test_names_in_json_and_splits_by_folder(write):
    notes = [{".json": json.dumps({"label": name, "caption": "[" * 9}).encode()} for name in ("wren", "tit")] * 3
    write("val/0.tar", notes)
    found = read_image_set(write("train/0.tar", notes))
    assert found.classes == ("tit", "wren")
    assert found.counts("test") == [3, 3]
    assert found.remarks


def test_without_splits_a_fifth_tests(write):
    found = read_image_set(write("0.tar", [{".cls": b"10"}, {".cls": b"9"}] * 5))
    assert (found.classes, found.drawn_split) == (("9", "10"), True)
    assert found.counts("test") == [1, 1]


def test_numbers_may_begin_with_zeros(write):
    found = read_image_set(write("0.tar", [{".cls": b"1"}, {".cls": b"01"}, {".json": b'{"class_name": 2}'}] * 4))
    assert (found.classes, len(found.records)) == (("1", "2"), 12)
    arabic = [{".cls": "\u0661".encode()}, {".cls": b"1"}, {".cls": b"01"}]
    assert len(read_image_set(write("0.tar", arabic * 4)).classes) == 3


def test_of_members_that_differ_in_case_the_first_is_used(write):
    found = read_image_set(write("0.TAR", [{".cls": b"0"}, {".cls": b"1", ".CLS": b"2", ".PNG": b"no"}] * 4))
    assert found.classes == ("0", "1")
    told = "members whose name differs from an earlier one's in case alone, not used: 8 (0.TAR/a/001.CLS, "
    assert found.problems[0].startswith(told)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({}, "there is no .cls and no .json"),
        ({".cls": b" \n"}, "it names no class"),
        ({".cls": b"\xff"}, "codec can't decode"),
        ({".cls": b"x" * 70_000}, "more than 65,536 bytes"),
        ({".json": b"[1]"}, "its JSON is no table"),
        ({".json": b"[" * 60_000}, "its JSON is nested too deeply"),
        ({".json": b'{"label": null}'}, "it names no class"),
        ({".png": None, ".cls": b"1"}, "samples without a picture, left out: 1 "),
    ],
)
def test_samples_that_cannot_be_used_are_named(write, bad, told):
    found = read_image_set(write("0.tar", [{".cls": b"0"}, {".cls": b"1"}] * 10 + [bad]))
    assert len(found.records) == 20
    assert told in found.problems[0]
    assert "0.tar/a/020" in found.problems[0]
    with pytest.raises(UserError, match="of 6 annotations cannot be used"):
        read_image_set(write("0.tar", [{".cls": b"0"}, {".cls": b"1"}] * 2 + [bad] * 2))


def test_class_folders_beside_a_tar_file_are_read(class_folders, shard):
    shard(class_folders / "daisies.tar", {"a.png": b""})
    assert read_image_set(class_folders).source == "folder"
