import numpy as np
import pytest
from scipy.io import loadmat, savemat

from protoexplain.data.geometry import Box
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError


class TestReading:
    def test_devkit_layout(self, cars):
        found = read_image_set(cars)
        assert (found.source, found.classes) == ("cars", ("AM General Hummer", "Smart fortwo"))
        assert [record.label for record in found.split("train")] == [0, 1, 0, 1]
        assert [record.label for record in found.split("test")] == [1, 0]
        assert found.records[0].id == "cars_train/00001.jpg"
        assert found.records[0].box == Box(10, 5, 30, 20)
        assert found.problems == ()

    def test_labelled_file_in_the_devkit(self, cars):
        (cars / "cars_test_annos_withlabels.mat").rename(cars / "devkit/cars_test_annos_withlabels.mat")
        assert len(read_image_set(cars).split("test")) == 2

    def test_images_wrapped_twice(self, cars):
        (cars / "cars_train").rename(cars / "inner")
        (cars / "cars_train").mkdir()
        (cars / "inner").rename(cars / "cars_train/cars_train")
        assert read_image_set(cars).records[0].id == "cars_train/cars_train/00001.jpg"

    def test_single_file_layout(self, cars_single):
        found = read_image_set(cars_single)
        assert found.classes == ("AM General Hummer", "Smart fortwo")
        assert [(r.id, r.label, r.split) for r in found.records] == [
            ("car_ims/000001.jpg", 0, "train"),
            ("car_ims/000002.jpg", 1, "train"),
            ("car_ims/000003.jpg", 1, "test"),
        ]
        assert found.records[2].box == Box(10, 5, 30, 20)

    def test_missing_image_is_counted(self, cars):
        (cars / "cars_train/00002.jpg").unlink()
        found = read_image_set(cars)
        assert len(found.records) == 5
        assert "00002.jpg" in found.problems[0]

    def test_impossible_box_is_counted(self, cars_single):
        path = cars_single / "cars_annos.mat"
        content = loadmat(path, squeeze_me=True)
        content["annotations"]["bbox_x2"][1] = 3
        savemat(path, {key: content[key] for key in ("annotations", "class_names")})
        found = read_image_set(cars_single)
        assert len(found.records) == 2
        assert "impossible box" in found.problems[0]
        assert "000002.jpg" in found.problems[0]

    def test_names_with_other_zeros_are_found(self, cars):
        expected = [record.label for record in read_image_set(cars).records]
        for path in cars.glob("cars_t*/*.jpg"):
            path.rename(path.with_name(f"0{path.stem}.JPG"))
        assert [record.label for record in read_image_set(cars).records] == expected

    @pytest.mark.parametrize(
        ("field", "value"), [("class", 3), ("class", 0), ("bbox_x2", np.nan), ("bbox_y2", -4), ("test", np.nan)]
    )
    def test_a_row_that_cannot_be_used_is_counted(self, cars_single, field, value):
        path = cars_single / "cars_annos.mat"
        content = loadmat(path, squeeze_me=True)
        content["annotations"][field][1] = value
        savemat(path, {key: content[key] for key in ("annotations", "class_names")})
        problem = read_image_set(cars_single).problems[0]
        assert problem.startswith("images with an impossible box or class, left out: 1 ('car_ims/000002.jpg': ")


class TestErrors:
    def test_test_labels_missing_says_how_to_get_them(self, cars):
        (cars / "cars_test_annos_withlabels.mat").unlink()
        with pytest.raises(UserError, match="cars_test_annos_withlabels") as caught:
            read_image_set(cars)
        assert "no labels" in caught.value.fix

    @pytest.mark.parametrize("name", ["devkit/cars_meta.mat", "cars_test"])
    def test_missing_file_or_folder(self, cars, name):
        (cars / name).rename(cars / "elsewhere")
        with pytest.raises(UserError, match=name.removeprefix("devkit/")):
            read_image_set(cars)

    @pytest.mark.parametrize("content", [b"", b"not a mat file", b"MATLAB 5.0 MAT-file" + b"\0" * 200])
    def test_damaged_file(self, cars, content):
        path = cars / "devkit/cars_train_annos.mat"
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_image_set(cars)
        assert caught.value.where == str(path)

    def test_cut_off_file(self, cars):
        path = cars / "devkit/cars_train_annos.mat"
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError):
            read_image_set(cars)

    def test_unlabelled_annotations_in_the_place_of_labelled(self, cars):
        unlabelled = (cars / "devkit/cars_test_annos.mat").read_bytes()
        (cars / "cars_test_annos_withlabels.mat").write_bytes(unlabelled)
        with pytest.raises(UserError, match="no field 'class'"):
            read_image_set(cars)

    def test_class_beyond_the_list(self, cars):
        savemat(cars / "devkit/cars_meta.mat", {"class_names": np.array(["only one"], dtype=object)})
        with pytest.raises(UserError, match="class 2 of 1"):
            read_image_set(cars)
