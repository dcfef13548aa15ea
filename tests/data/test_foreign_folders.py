"""Folders as people have them: unpacked archives, leftovers of systems, other suffixes, masks among the pictures."""

import shutil
from pathlib import PurePosixPath

import pytest
from PIL import Image

from protoexplain.data.check import as_text, check
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
         ".thumbnails", "#recycle", "FOUND.000", "__pycache__", "node_modules", "wandb", "@__thumb", "Thumbnails"],
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
        for name in ("0.png~", "0.png.bak", "0.png_original", "0.nef", "BM.txt"):
            shutil.copy(class_folders / "daisy/0.png", class_folders / "daisy" / name)
        (class_folders / "daisy/BM.txt").write_text("BM is no bitmap, only the beginning of a word")
        (problem,) = read_image_set(class_folders).problems
        assert problem.startswith("files that are no pictures in a format that is read, left out: 5")

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

    def test_archives_are_to_be_unpacked(self, tmp_path):
        (tmp_path / "train.zip").write_bytes(b"PK\x03\x04")
        with pytest.raises(UserError, match=r"1 \.zip \(train\.zip is a zip archive\)") as caught:
            read_image_set(tmp_path)
        assert caught.value.fix == "unpack the archives"


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


def laid_out(root, picture, *folders):
    """Two pictures in each folder, all of them different."""
    for folder in folders:
        for n in range(2):
            picture(root / folder / f"{n}.png", abs(hash((folder, n))))
    return root


class TestSplitsUnderOtherNames:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("seg_train/seg_train", "seg_test/seg_test"),
            ("01_train", "02_test"),
            ("images train", "images test"),
            ("TRAIN_SIMPLE", "TEST_SIMPLE"),
            ("train80", "test20"),
            ("trainval", "holdout"),
            ("train/images", "test/Photos"),
        ],
    )
    def test_they_are_splits(self, tmp_path, picture, train, test):
        inner = [f"{split}/{name}" for split in (train, test) for name in ("ant", "bee")]
        found = read_image_set(laid_out(tmp_path, picture, *inner, "seg_pred/seg_pred"))
        assert (found.classes, found.drawn_split) == (("ant", "bee"), False)
        assert found.counts("train") == found.counts("test") == [2, 2]
        assert found.problems == ("folders not used: 1 (seg_pred/)",)

    def test_words_of_splits_in_names_of_classes_are_none(self, tmp_path, picture):
        root = laid_out(tmp_path, picture, "train station/day", "test tube/full")
        assert read_image_set(root).classes == ("test tube", "train station")

    def test_splits_within_the_classes(self, tmp_path, picture):
        inner = [f"{name}/{split}" for name in ("ant", "bee") for split in ("Train", "val", "TEST")]
        found = read_image_set(laid_out(tmp_path, picture, *inner))
        assert (found.classes, found.drawn_split, found.problems) == (("ant", "bee"), False, ())
        assert found.counts("train") == found.counts("validation") == found.counts("test") == [2, 2]

    @pytest.mark.parametrize(
        "folders",
        [
            ("train", "valid", "test"),
            ("train/images", "valid/images"),
            ("images/train", "images/val"),
            ("cars_train", "cars_test"),
            ("train", "test", "samples"),
        ],
    )
    def test_splits_without_class_folders_are_no_classes(self, tmp_path, picture, folders):
        with pytest.raises(UserError, match=r"train/?.* hold pictures in no class folders") as caught:
            read_image_set(laid_out(tmp_path, picture, *folders))
        assert caught.value.fix.startswith("in each of them put the pictures of each class into a folder")

    def test_folders_around_the_classes_are_told(self, tmp_path, picture):
        inner = [f"{around}/{name}" for around in ("color", "grayscale") for name in ("ant", "bee")]
        (problem,) = read_image_set(laid_out(tmp_path, picture, *inner)).problems
        assert problem.startswith("folders that lie in every class; if they are the classes, give one of the")
        assert problem.endswith(": 2 (ant/, bee/)")


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

    def test_a_class_that_is_named_as_masks_of_another(self, class_folders, picture):
        picture(class_folders / "daisy_masks" / "x.png")
        (problem,) = read_image_set(class_folders).problems
        assert problem == "classes that are named as masks of others, and are probably none: 1 (daisy masks)"

    def test_one_class_and_no_training_images_in_every_layout(self, cub):
        cub.table("train_test_split.txt").write_text("".join(f"{n} 0\n" for n in range(1, 9)))
        found = read_image_set(cub.root)
        assert found.problems == ("there is no training image",)
        assert "balanced" not in as_text(check(found))
        cub.table("image_class_labels.txt").write_text("".join(f"{n} 1\n" for n in range(1, 9)))
        images = cub.table("images.txt")
        only, gone = sorted((images.parent / "images").iterdir())
        for path in gone.iterdir():
            path.rename(only / path.name)
        images.write_text(images.read_text().replace(gone.name, only.name))
        with pytest.raises(UserError, match="only one class was found, 'Black footed Albatross'"):
            read_image_set(cub.root)


class TestMasks:
    @pytest.mark.parametrize(
        "names",
        [
            ("a.jpg", "b.jpg", "a_mask.png", "b-seg.png"),
            ("a (1).png", "b.png", "a (1)_mask.png", "a (1)_mask_1.png"),
            ("a.jpg", "b.jpg", "masks/a.png", "masks/other.png"),
            ("1.jpg", "2.jpg", "1Mask.png", "2mask.PNG"),
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
