import os
import shutil
import sys
import unicodedata

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from protoexplain.config import DataConfig
from protoexplain.data.check import as_text, check
from protoexplain.data.dataset_view import parts_in_words, view_of_run
from protoexplain.data.loading import readable
from protoexplain.data.read import find_source, read_image_set, source_names
from protoexplain.errors import UserError


def splits(found):
    return {record.id: record.split for record in found.records}


def with_train(root, *others):
    """Move the class folders below train/ and make further folders as copies of it."""
    classes = [entry.name for entry in root.iterdir()]
    (root / "train").mkdir()
    for name in classes:
        (root / name).rename(root / "train" / name)
    for other in others:
        shutil.copytree(root / "train", root / other)


def test_pictures_of_phones_count_and_are_used(class_folders):
    pillow_heif.register_heif_opener()
    before = len(read_image_set(class_folders).records)
    for n, name in enumerate(("a.heic", "b.HEIF", "c.avif")):
        noise = np.random.default_rng(n).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(class_folders / "daisy" / name, "AVIF" if name.endswith("avif") else "HEIF")
    found = read_image_set(class_folders)
    assert (len(found.records), found.problems) == (before + 3, ())
    assert check(found).unreadable == ()
    assert len(readable(found.records)[0]) == before + 3


def test_heic_pictures_that_cannot_be_read_are_named_with_their_package(class_folders, monkeypatch):
    pillow_heif.register_heif_opener()
    Image.new("RGB", (40, 30)).save(class_folders / "daisy" / "a.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    ((name, reason),) = check(read_image_set(class_folders)).unreadable
    assert name == "daisy/a.heic"
    assert "pillow-heif is installed" in reason


class TestWithoutSplit:
    def test_classes_and_counts(self, class_folders):
        found = read_image_set(class_folders)
        assert (found.source, found.name) == ("folder", "flowers")
        assert found.classes == ("daisy", "red rose", "tulip")
        assert found.counts("test") == [2, 1, 1]
        assert found.counts("train") == [8, 4, 1]
        assert found.records[0].id == "daisy/0.png"

    def test_same_seed_same_split_other_seed_other_split(self, class_folders):
        one = splits(read_image_set(class_folders, seed=1))
        assert one == splits(read_image_set(class_folders, seed=1))
        assert any(one != splits(read_image_set(class_folders, seed=seed)) for seed in (2, 3, 4))

    def test_a_class_is_split_alike_whatever_the_others_are(self, class_folders, picture):
        before = splits(read_image_set(class_folders))
        picture(class_folders / "aster/x.png", 7)
        shutil.rmtree(class_folders / "tulip")
        after = splits(read_image_set(class_folders))
        assert {id_: split for id_, split in before.items() if "tulip" not in id_}.items() <= after.items()

    def test_split_does_not_depend_on_the_order_of_files(self, class_folders, monkeypatch):
        before = read_image_set(class_folders).records
        walk = os.walk

        def backwards(*args, **options):
            return ((where, folders, files[::-1]) for where, folders, files in walk(*args, **options))

        monkeypatch.setattr(os, "walk", backwards)
        assert read_image_set(class_folders).records == before

    def test_class_of_one_image_goes_to_training(self, class_folders, picture):
        picture(class_folders / "single/only.png")
        found = read_image_set(class_folders)
        assert splits(found)["single/only.png"] == "train"

    def test_nested_images_hidden_files_and_others(self, class_folders, picture):
        picture(class_folders / "daisy/deep/er/nested.PNG")
        picture(class_folders / "daisy/.hidden.png")
        picture(class_folders / ".cache/x.png")
        picture(class_folders / "__MACOSX/x.png")
        (class_folders / "daisy/notes.txt").write_text("words")
        (class_folders / "empty").mkdir()
        found = read_image_set(class_folders)
        assert "daisy/deep/er/nested.PNG" in splits(found)
        assert len(found.records) == 18
        assert found.classes == ("daisy", "red rose", "tulip")
        assert sorted(found.problems) == [
            "files that are no pictures in a format that is read, left out: 1 (notes.txt)",
            "folders without images, left out: 1 (empty/)",
        ]

    def test_links_that_lead_nowhere_are_unreadable_pictures_or_told(self, class_folders):
        links = (("self.png", "self.png"), ("gone.png", "nowhere"), ("gone", "nowhere"), ("self", "self"))
        for name, leads_to in links:
            (class_folders / "daisy" / name).symlink_to(leads_to)
        found = read_image_set(class_folders)
        assert found.problems == ("files that are no pictures in a format that is read, left out: 2 (gone, self)",)
        assert {id_ for id_, _ in check(found).unreadable} == {"daisy/gone.png", "daisy/self.png"}

    @pytest.mark.parametrize(("link", "upwards"), [("daisy/loop", "daisy"), ("daisy/loop", "."), ("loop", ".")])
    def test_links_back_upwards_are_not_followed(self, class_folders, link, upwards):
        before = read_image_set(class_folders)
        (class_folders / link).symlink_to(class_folders / upwards)
        assert read_image_set(class_folders).fingerprint() == before.fingerprint()


class TestWithSplit:
    @pytest.mark.parametrize("name", ["test", "val", "valid", "Validation"])
    def test_published_split_is_used(self, class_folders, name):
        with_train(class_folders, name)
        found = read_image_set(class_folders)
        assert found.counts("train") == found.counts("test") == [10, 5, 2]
        assert splits(found)["train/daisy/0.png"] == "train"
        assert splits(found)[f"{name}/daisy/0.png"] == "test"
        assert found.problems == ()

    @pytest.mark.parametrize("name", ["val", "VALID", "Validation", "dev", "val_set"])
    def test_validation_folder_beside_train_and_test(self, class_folders, name):
        with_train(class_folders, name, "test")
        found = read_image_set(class_folders)
        for split, folder in (("train", "train"), ("validation", name), ("test", "test")):
            assert {record.id.partition("/")[0] for record in found.split(split)} == {folder}
        config = DataConfig()
        view = view_of_run(config, class_folders)
        assert [record.id.partition("/")[0] for record in view.listed("validation")] == [name] * 17
        assert len(view.listed("train")) == len(view.listed("test")) == 17
        assert "17 choose the best epoch (as it says)" in parts_in_words(view, config)
        report = check(found)
        assert report.validation_counts == (10, 5, 2)
        assert "17 training, 17 validation and 17 test images" in as_text(report)
        assert "pictures in both training and test or validation" in as_text(report)

    def test_validation_images_are_the_test_where_there_is_no_other_and_this_is_told(self, class_folders):
        with_train(class_folders, "val")
        view = view_of_run(DataConfig(), class_folders)
        told = parts_in_words(view, DataConfig())
        assert "so its validation images only test the model" in told
        assert view.listed("validation")[0].id.startswith("train/")
        assert told.startswith("34 images of 3 classes: 17 only test the model (as the data set says)")

    def test_a_second_folder_of_a_split_and_classes_beside_are_named(self, class_folders, picture):
        with_train(class_folders, "val", "valid", "test")
        picture(class_folders / "aster" / "x.png")
        (problem,) = read_image_set(class_folders).problems
        assert problem == "folders not used: 2 (aster/, valid/)"

    def test_splits_that_unpacked_into_folders_of_their_own_name(self, class_folders):
        with_train(class_folders, "test")
        for name in ("train", "test"):
            (class_folders / name).rename(class_folders / "moved")
            (class_folders / name).mkdir()
            (class_folders / "moved").rename(class_folders / name / name)
        found = read_image_set(class_folders)
        assert found.classes == ("daisy", "red rose", "tulip")
        assert found.counts("train") == found.counts("test") == [10, 5, 2]

    def test_a_folder_named_as_a_split_with_pictures_of_its_own_is_a_class(self, class_folders, picture):
        for n in range(3):
            picture(class_folders / "train" / f"{n}.png", n)
        assert read_image_set(class_folders).classes == ("daisy", "red rose", "train", "tulip")

    def test_train_alone_is_split(self, class_folders):
        expected = read_image_set(class_folders).counts("test")
        with_train(class_folders)
        assert read_image_set(class_folders).counts("test") == expected

    def test_class_in_test_only_is_kept(self, class_folders, picture):
        with_train(class_folders, "test")
        picture(class_folders / "test/aster/x.png")
        found = read_image_set(class_folders)
        assert found.classes[0] == "aster"
        assert found.counts("train")[0] == 0

    def test_test_folders_alone_are_refused(self, class_folders):
        with_train(class_folders, "test", "val")
        shutil.rmtree(class_folders / "train")
        with pytest.raises(UserError, match="no training folder"):
            read_image_set(class_folders)


class TestNames:
    def test_unicode_forms_are_one_class_and_one_id(self, tmp_path, picture):
        for form in ("NFC", "NFD"):
            folder = tmp_path / unicodedata.normalize(form, "süß")
            picture(folder / f"{form}.png")
            picture(folder / unicodedata.normalize(form, "é.png"))
        picture(tmp_path / "other/x.png")
        found = read_image_set(tmp_path)
        assert found.classes == ("other", "süß")
        assert sorted(splits(found)) == ["other/x.png", "süß/NFC.png", "süß/NFD.png", "süß/é.png"]
        assert all(unicodedata.is_normalized("NFC", record.id) for record in found.records)
        assert "Unicode form" in found.problems[0]

    @pytest.mark.parametrize("name", ["CON", "-rf", "=1+1", "a b", 'it\'s "x"', "x" * 200, "日本"])
    def test_odd_names_work(self, class_folders, picture, name):
        picture(class_folders / name / f"{name}.png")
        found = read_image_set(class_folders)
        assert name in found.classes
        assert f"{name}/{name}.png" in splits(found)
        assert found.fingerprint()

    def test_names_that_cannot_be_stored_are_left_out(self, class_folders, picture):
        picture(class_folders / "daisy/new\nline.png")
        bad = os.fsencode(class_folders / "daisy") + b"/\xff.png"
        shutil.copy(class_folders / "daisy/0.png", bad)
        found = read_image_set(class_folders)
        assert len(found.records) == 17
        assert "names, left out: 2" in found.problems[0]
        assert found.fingerprint()
        assert "\n" not in found.problems[0]

    def test_class_folder_with_a_newline_is_refused(self, class_folders, picture):
        picture(class_folders / "two\nlines/x.png")
        with pytest.raises(UserError, match="control"):
            read_image_set(class_folders)


class TestRecognition:
    def test_known_layouts(self):
        assert {"cub", "cars", "dogs", "folder"} <= set(source_names())
        assert all(find_source(name).name == name for name in source_names())

    def test_unknown_layout_suggests_the_nearest(self, class_folders):
        with pytest.raises(UserError, match="did you mean 'folder'"):
            read_image_set(class_folders, "foldr")

    def test_named_layout_must_fit(self, class_folders):
        with pytest.raises(UserError, match="no 'cub' data set") as caught:
            read_image_set(class_folders, "cub")
        assert "images.txt" in caught.value.fix

    def test_nothing_recognised_lists_what_was_found_and_looked_for(self, tmp_path, picture):
        picture(tmp_path / "loose.png")
        picture(tmp_path / "one class/x.png")
        with pytest.raises(UserError, match="no known data set layout") as caught:
            read_image_set(tmp_path)
        assert "loose.png, one class/" in caught.value.what
        assert all(name in caught.value.fix for name in ("images.txt", "cars_train/", "Annotation/", "test/"))

    def test_empty_missing_and_archive(self, tmp_path):
        with pytest.raises(UserError, match="empty"):
            read_image_set(tmp_path)
        with pytest.raises(UserError, match="missing"):
            read_image_set(tmp_path / "none")
        (tmp_path / "birds.tgz").write_bytes(b"x")
        with pytest.raises(UserError, match="unpack it"):
            read_image_set(tmp_path / "birds.tgz")
