"""Folders as people have them: unpacked archives, leftovers of systems, other suffixes, masks among the pictures."""

import shutil
from pathlib import PurePosixPath

import pytest
from PIL import Image

from protoexplain.data.masks_among import likely_masks
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError

CLASSES = ("daisy", "red rose", "tulip")


def ids(found):
    return {record.id for record in found.records}


class TestLeftBehind:
    @pytest.mark.parametrize(
        "name",
        ["$RECYCLE.BIN", "System Volume Information", "__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir", "lost+found",
         ".thumbnails", "#recycle", "FOUND.000", "__pycache__", "node_modules", "wandb"],
    )  # fmt: skip
    def test_folders_of_systems_and_tools_are_no_classes(self, class_folders, picture, name):
        expected = ids(read_image_set(class_folders))
        picture(class_folders / name / "x.png")
        picture(class_folders / "daisy" / name / "x.png")
        found = read_image_set(class_folders)
        assert (found.classes, ids(found), found.problems) == (CLASSES, expected, ())

    @pytest.mark.parametrize("name", ["Thumbs.db", ".DS_Store", "desktop.ini", "._0.png", "~$0.png"])
    def test_their_files_are_not_told(self, class_folders, name):
        shutil.copy(class_folders / "daisy/0.png", class_folders / "daisy" / name)
        found = read_image_set(class_folders)
        assert (len(found.records), found.problems) == (17, ())

    @pytest.mark.parametrize("mark", ["pyvenv.cfg", "CACHEDIR.TAG", "model.safetensors"])
    def test_environments_caches_and_models_are_no_classes(self, class_folders, picture, mark):
        picture(class_folders / "env" / "lib" / "x.png")
        (class_folders / "env" / mark).write_text("")
        assert read_image_set(class_folders).classes == CLASSES


class TestContent:
    @pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_pictures_are_known_by_their_content(self, tmp_path, picture, format_):
        for name in ("ant", "bee"):
            (tmp_path / name).mkdir()
            for n, suffix in enumerate(("", ".jfif", ".dat", ".txt", ".jpg_large")):
                Image.open(picture(tmp_path / "x", n)).save(tmp_path / name / f"{n}{suffix}", format_)
        (tmp_path / "x").unlink()
        found = read_image_set(tmp_path)
        assert (found.classes, len(found.records), found.problems) == (("ant", "bee"), 10, ())

    def test_copies_and_raw_data_are_left_out_by_name(self, class_folders):
        for name in ("0.png~", "0.png.bak", "0.nef", "BM.txt"):
            shutil.copy(class_folders / "daisy/0.png", class_folders / "daisy" / name)
        (class_folders / "daisy/BM.txt").write_text("BM is no bitmap, only the beginning of a word")
        (problem,) = read_image_set(class_folders).problems
        assert problem.startswith("files that are not images, left out: 4")

    def test_a_folder_without_pictures_says_what_it_holds(self, tmp_path):
        for name in ("ant", "bee"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.svg").write_text("<svg/>")
            (tmp_path / name / "b.npy").write_bytes(b"\x93NUMPY")
        (tmp_path / "bee" / "c").write_bytes(b"")
        with pytest.raises(UserError, match=r"no picture was found: 2 \.svg ") as caught:
            read_image_set(tmp_path)
        assert "(a.svg is an SVG, HTML or XML text)" in caught.value.what
        assert "1 without suffix (c is empty)" in caught.value.what
        assert "JPEG" in caught.value.fix


class TestAround:
    @pytest.mark.parametrize("depth", [1, 2])
    def test_one_folder_around_everything_is_looked_through_and_told(self, class_folders, picture, depth):
        around = class_folders.with_name("around")
        inner = around.joinpath(*["archive", "flowers"][:depth])
        inner.parent.mkdir(parents=True)
        expected = ids(read_image_set(class_folders))
        class_folders.rename(inner)
        picture(around / "__MACOSX" / "x.png")
        (around / "README.md").write_text("words")
        (around / "docs").mkdir()
        found = read_image_set(around)
        assert (found.root, ids(found)) == (inner, expected)
        assert f"all pictures are in {inner.relative_to(around).as_posix()}/" in found.remarks[0]

    def test_other_layouts_too(self, cub):
        expected = ids(read_image_set(cub.root))
        (cub.root.parent / "around/deep").mkdir(parents=True)
        cub.root.rename(cub.root.parent / "around/deep/birds")
        for source in ("auto", "cub"):
            found = read_image_set(cub.root.parent / "around", source)
            assert (found.source, ids(found)) == ("cub", expected)

    def test_pictures_and_masks_side_by_side(self, class_folders, tmp_path):
        shutil.copytree(class_folders, tmp_path / "set/images")
        shutil.copytree(class_folders, tmp_path / "set/masks")
        found = read_image_set(tmp_path / "set")
        assert (found.root.name, found.classes) == ("images", CLASSES)


class TestDoubtfulClasses:
    def test_one_class_alone(self, tmp_path, picture):
        picture(tmp_path / "daisy" / "a.png")
        picture(tmp_path / "daisy" / "deep" / "b.png")
        with pytest.raises(UserError, match="only one class was found, 'daisy'; at least two are needed") as caught:
            read_image_set(tmp_path)
        assert caught.value.fix.startswith("put the pictures of each class into a folder of its own")

    def test_one_class_in_splits(self, tmp_path, picture):
        for split in ("train", "test"):
            picture(tmp_path / split / "daisy" / "a.png")
        with pytest.raises(UserError, match="only one class was found, 'daisy'"):
            read_image_set(tmp_path)

    def test_pictures_in_no_folder(self, tmp_path, picture):
        picture(tmp_path / "a.png")
        picture(tmp_path / "b.png")
        (tmp_path / "notes.csv").write_text("name,colour\na,red\n")
        with pytest.raises(UserError, match="all 2 pictures lie in no class folder") as caught:
            read_image_set(tmp_path)
        assert "notes.csv has no column for the file" in caught.value.what

    @pytest.mark.parametrize("twin", ["Daisy", "DAISY", "daisy ", " daisy", "dai\u017fy"])
    def test_a_class_that_comes_twice(self, class_folders, picture, twin):
        picture(class_folders / twin / "x.png")
        (problem,) = read_image_set(class_folders).problems
        assert problem.startswith("names that differ only in case, spaces or form, probably of one class: 1")
        assert repr("daisy") in problem

    def test_a_class_in_test_or_validation_alone(self, class_folders, picture):
        for split in ("train", "val", "test"):
            shutil.copytree(class_folders / "daisy", class_folders / split / "daisy")
            shutil.copytree(class_folders / "tulip", class_folders / split / "tulip")
        for name in ("daisy", "tulip", "red_rose"):
            shutil.rmtree(class_folders / name)
        picture(class_folders / "test/aster/x.png")
        picture(class_folders / "val/lily/x.png")
        assert read_image_set(class_folders).problems == (
            "classes in the test images alone, which the model cannot learn: 1 (aster)",
            "classes without training images, which the model cannot learn: 1 (lily)",
        )


class TestMasks:
    @pytest.mark.parametrize(
        "names",
        [
            ("a.jpg", "b.jpg", "a_mask.png", "b-seg.png"),
            ("a (1).png", "b.png", "a (1)_mask.png", "a (1)_mask_1.png"),
            ("a.jpg", "b.jpg", "masks/a.png", "masks/other.png"),
            ("images/a.jpg", "images/b.jpg", "masks/a.png", "Masks/b.png"),
            ("a.jpg", "b.jpg", "segmentation/a_seg.png", "mask_b.PNG"),
        ],
    )
    def test_masks_of_pictures_are_found(self, names):
        assert likely_masks(list(map(PurePosixPath, names))) == set(map(PurePosixPath, names[2:]))

    @pytest.mark.parametrize(
        "names", [("a_mask.png", "b_mask.png"), ("masks/a.png", "masks/b.png"), ("gt.jpg", "mask.jpg")]
    )
    def test_pictures_that_are_only_named_so_are_kept(self, names):
        assert likely_masks(list(map(PurePosixPath, names))) == set()

    def test_they_are_named_and_left_out(self, class_folders):
        for n in range(2):
            shutil.copy(class_folders / f"daisy/{n}.png", class_folders / f"daisy/{n}_mask.png")
        found = read_image_set(class_folders)
        assert len(found.records) == 17
        assert found.problems == ("likely masks, by their names, left out: 2 (daisy/0_mask.png, daisy/1_mask.png)",)
