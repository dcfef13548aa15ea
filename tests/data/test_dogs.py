import os

import numpy as np
import pytest
from scipy.io import savemat

from protoexplain.data.geometry import Box
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError


class TestReading:
    def test_everything_is_read(self, dogs):
        found = read_image_set(dogs)
        assert (found.source, found.classes) == ("dogs", ("Chihuahua", "Greater Swiss Mountain dog"))
        assert found.counts("train") == [2, 2]
        assert found.counts("test") == [1, 1]
        assert found.records[0].id == "Images/n02085620-Chihuahua/n02085620_0.jpg"
        assert {record.box for record in found.records} == {Box(10, 5, 30, 20)}

    def test_first_of_two_boxes_is_used_and_counted(self, dogs):
        (problem,) = read_image_set(dogs).problems
        assert "several boxes, the first is used: 1" in problem

    def test_lists_in_a_folder(self, dogs):
        (dogs / "lists").mkdir()
        for name in ("train_list.mat", "test_list.mat"):
            (dogs / name).rename(dogs / "lists" / name)
        assert len(read_image_set(dogs).records) == 6

    @pytest.mark.parametrize(("images", "annotations"), [("images", "annotation"), ("images/Images", "Annotations")])
    def test_folders_and_files_under_other_names(self, dogs, images, annotations):
        labels = [record.label for record in read_image_set(dogs).records]
        for old, new in (("Images", images), ("Annotation", annotations)):
            (dogs / old).rename(dogs / "moved")
            (dogs / new).parent.mkdir(exist_ok=True)
            (dogs / "moved").rename(dogs / new)
        for path in list((dogs / annotations).glob("*/*")):
            path.rename(path.with_name(f"{path.name}.xml"))
        found = read_image_set(dogs)
        assert (found.source, [record.label for record in found.records]) == ("dogs", labels)

    def test_an_annotation_that_never_ends_is_counted(self, dogs):
        path = dogs / "Annotation/n02085620-Chihuahua/n02085620_1"
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            path.unlink()
            make(path)
            assert len(read_image_set(dogs).records) == 5
        (dogs / "test_list.mat").unlink()
        os.mkfifo(dogs / "test_list.mat")
        with pytest.raises(UserError, match=r"test_list\.mat is no file"):
            read_image_set(dogs)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "<annotation></annotation>",
            "<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "<annotation",
            "no xml",
            '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
        ],
    )
    def test_unusable_annotation_is_counted(self, dogs, text):
        (dogs / "Annotation/n02085620-Chihuahua/n02085620_1").write_text(text)
        found = read_image_set(dogs)
        assert len(found.records) == 5
        assert any("usable annotation" in problem and "n02085620_1" in problem for problem in found.problems)

    def test_missing_image_and_impossible_box_are_counted(self, dogs):
        (dogs / "Images/n02085620-Chihuahua/n02085620_0.jpg").unlink()
        annotation = dogs / "Annotation/n02085620-Chihuahua/n02085620_1"
        annotation.write_text(annotation.read_text().replace("<xmax>30", "<xmax>10"))
        problems = " ".join(read_image_set(dogs).problems)
        assert "not found" in problems
        assert "impossible box" in problems

    def test_backslashes_and_suffixes_of_other_releases(self, dogs):
        expected = read_image_set(dogs).records
        for split, numbers in (("train", (0, 1)), ("test", (2,))):
            files = [
                f"{folder}\\{folder.split('-')[0]}_{n}.JPEG"
                for folder in ("n02085620-Chihuahua", "n02107574-Greater_Swiss_Mountain_dog")
                for n in numbers
            ]
            cells = np.empty((len(files), 1), dtype=object)
            cells[:, 0] = files
            labels = np.repeat([1, 2], len(numbers))[:, None]
            savemat(dogs / f"{split}_list.mat", {"file_list": cells, "labels": labels})
        found = read_image_set(dogs)
        assert found.records == expected

    def test_many_unusable_annotations_are_refused(self, dogs):
        for n in range(2):
            (dogs / f"Annotation/n02085620-Chihuahua/n02085620_{n}").write_text("")
        with pytest.raises(UserError, match="2 of 6 annotations cannot be used"):
            read_image_set(dogs)


class TestErrors:
    @pytest.mark.parametrize("name", ["train_list.mat", "test_list.mat", "Annotation"])
    def test_missing_part(self, dogs, name):
        (dogs / name).rename(dogs / "elsewhere")
        with pytest.raises(UserError, match=name) as caught:
            read_image_set(dogs)
        assert "unpack" in caught.value.fix

    def test_labels_must_fit_folders(self, dogs):
        files = np.empty((2, 1), dtype=object)
        files[:, 0] = [
            "n02085620-Chihuahua/n02085620_2.jpg",
            "n02107574-Greater_Swiss_Mountain_dog/n02107574_2.jpg",
        ]
        savemat(dogs / "test_list.mat", {"file_list": files, "labels": np.array([[2], [1]])})
        with pytest.raises(UserError, match="label 2 stands for"):
            read_image_set(dogs)

    def test_labels_that_another_program_wrote(self, dogs):
        files = np.empty((2, 1), dtype=object)
        files[:, 0] = ["n02085620-Chihuahua/n02085620_2.jpg", "n02107574-Greater_Swiss_Mountain_dog/n02107574_2.jpg"]
        before = read_image_set(dogs)
        savemat(dogs / "test_list.mat", {"file_list": files, "labels": np.array([[1.0], [2.0]])})
        assert read_image_set(dogs).records == before.records

    def test_lists_of_unequal_length(self, dogs):
        files = np.empty((1, 1), dtype=object)
        files[0, 0] = "n02085620-Chihuahua/n02085620_2.jpg"
        savemat(dogs / "test_list.mat", {"file_list": files, "labels": np.array([[1], [2]])})
        with pytest.raises(UserError, match="1 files but 2 labels"):
            read_image_set(dogs)
