import shutil

import pytest

from protoexplain.data.geometry import Box
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError


def read(tree):
    return read_image_set(tree.root)


class TestReading:
    def test_everything_is_read(self, cub):
        found = read(cub)
        assert (found.source, found.classes) == ("cub", ("Black footed Albatross", "Wren"))
        assert found.counts("train") == [2, 2]
        assert found.counts("test") == [2, 2]
        assert found.problems == ()
        assert found.part_names == ("back", "left eye")
        first = found.records[0]
        assert first.id == "images/001.Black_footed_Albatross/Black_footed_Albatross_0.png"
        assert first.box == Box(10, 5, 30, 20)
        assert first.parts == {"back": (12.5, 7.0), "left eye": None}
        assert first.mask == cub.root / "segmentations/001.Black_footed_Albatross/Black_footed_Albatross_0.png"

    def test_folder_above_the_published_one(self, cub):
        expected = [record.id for record in read(cub).records]
        cub.root.rename(cub.root.parent / "CUB_200_2011")
        assert [record.id for record in read_image_set(cub.root.parent).records] == expected

    def test_segmentations_may_lie_beside(self, cub):
        shutil.move(cub.root / "segmentations", cub.root.parent)
        assert all(record.mask for record in read(cub).records)

    def test_optional_tables_may_be_absent(self, cub):
        shutil.rmtree(cub.root / "parts")
        shutil.rmtree(cub.root / "segmentations")
        cub.table("bounding_boxes.txt").unlink()
        found = read(cub)
        assert len(found.records) == 8
        assert found.part_names == ()
        assert all(record.box is record.parts is record.mask is None for record in found.records)

    def test_windows_line_ends_and_byte_order_mark(self, cub):
        expected = read(cub).records
        for path in cub.root.rglob("*.txt"):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        assert read(cub).records == expected

    def test_gap_in_the_numbers_is_no_problem(self, cub):
        for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"):
            cub.replace_line(name, 3, None)
        for line in (5, 5):
            cub.replace_line("parts/part_locs.txt", line, None)
        found = read(cub)
        assert len(found.records) == 7
        assert found.problems == ()

    def test_spaces_in_names(self, cub):
        cub.replace_line("images.txt", 1, "1 001.Black_footed_Albatross/my bird.png")
        folder = cub.root / "images/001.Black_footed_Albatross"
        (folder / "Black_footed_Albatross_0.png").rename(folder / "my bird.png")
        assert read(cub).records[0].id.endswith("/my bird.png")

    def test_equal_names_keep_their_numbers(self, cub):
        cub.replace_line("classes.txt", 1, "1 001.Wren")
        assert read(cub).classes == ("001.Wren", "002.Wren")


class TestProblems:
    @pytest.mark.parametrize("name", ["image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"])
    def test_image_without_a_line_is_left_out_and_counted(self, cub, name):
        cub.replace_line(name, 2, None)
        found = read(cub)
        assert len(found.records) == 7
        (problem,) = found.problems
        assert name in problem
        assert "Black_footed_Albatross_1.png" in problem

    def test_missing_image_is_left_out_and_counted(self, cub):
        (cub.root / "images/002.Wren/Wren_3.png").unlink()
        found = read(cub)
        assert len(found.records) == 7
        assert "not found" in found.problems[0]
        assert "Wren_3.png" in found.problems[0]

    def test_file_outside_the_folder_is_not_read(self, cub, picture):
        picture(cub.root / "secret.png")
        cub.replace_line("images.txt", 1, "1 ../secret.png")
        cub.replace_line("images.txt", 2, f"2 {cub.root / 'secret.png'}")
        found = read(cub)
        assert len(found.records) == 6
        assert "not found, left out: 2" in found.problems[0]

    def test_lines_about_unknown_images_are_counted(self, cub):
        cub.append("train_test_split.txt", "99 1\n")
        cub.append("parts/part_locs.txt", "99 1 3.0 3.0 1\n1 77 3.0 3.0 1\n")
        first, second = sorted(read(cub).problems)
        assert "part_locs.txt" in first
        assert ": 2 (line 17, line 18)" in first
        assert "train_test_split.txt" in second
        assert "image 99" in second

    def test_part_outside_the_box_is_kept_and_counted(self, cub):
        cub.replace_line("parts/part_locs.txt", 1, "1 1 35.0 7.0 1")
        found = read(cub)
        assert found.records[0].parts["back"] == (35.0, 7.0)
        assert "outside the box" in found.problems[0]


class TestErrors:
    @pytest.mark.parametrize("name", ["classes.txt", "image_class_labels.txt", "train_test_split.txt"])
    def test_missing_table(self, cub, name):
        cub.table(name).unlink()
        with pytest.raises(UserError, match=name) as caught:
            read(cub)
        assert caught.value.fix

    def test_missing_images_folder(self, cub):
        shutil.rmtree(cub.root / "images")
        with pytest.raises(UserError, match="images/"):
            read(cub)

    def test_no_image_left(self, cub):
        shutil.rmtree(cub.root / "images")
        (cub.root / "images").mkdir()
        with pytest.raises(UserError, match="none of the 8 listed images"):
            read(cub)

    def test_table_that_is_no_text(self, cub):
        cub.table("classes.txt").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(UserError, match="cannot be read"):
            read(cub)


class TestLinesThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("images.txt", "3"),
            ("images.txt", "2 001.x/twice.png"),
            ("image_class_labels.txt", "3 9"),
            ("image_class_labels.txt", "3 one"),
            ("image_class_labels.txt", "3 1 1"),
            ("train_test_split.txt", "3 2"),
            ("bounding_boxes.txt", "3 1.0 2.0 3.0"),
            ("bounding_boxes.txt", "3 1.0 2.0 0.0 4.0"),
            ("bounding_boxes.txt", "3 1.0 2.0 -3.0 4.0"),
            ("bounding_boxes.txt", "3 -9.0 2.0 3.0 4.0"),
            ("bounding_boxes.txt", "3 nan 2.0 3.0 4.0"),
        ],
    )
    def test_one_leaves_its_image_out_and_is_named(self, cub, name, line):
        cub.replace_line(name, 3, line)
        found = read(cub)
        assert "images/001.Black_footed_Albatross/Black_footed_Albatross_2.png" not in {r.id for r in found.records}
        assert any("left out: 1" in problem and "line 3" in problem and name in problem for problem in found.problems)

    @pytest.mark.parametrize("line", ["3 1 a 2.0 1", "3 1 inf 2.0 1", "3 1"])
    def test_one_of_a_part_hides_this_part(self, cub, line):
        cub.replace_line("parts/part_locs.txt", 5, line)
        found = read(cub)
        assert found.records[2].parts == {"back": None, "left eye": None}
        assert found.problems[0].startswith("lines of part_locs.txt that cannot be used, left out: 1 (line 5: ")

    @pytest.mark.parametrize(("name", "line"), [("bounding_boxes.txt", "{n} 1 2 0 4"), ("images.txt", "{n}")])
    def test_many_are_refused(self, cub, name, line):
        for n in (2, 3):
            cub.replace_line(name, n, line.format(n=n))
        with pytest.raises(UserError, match="2 of 8 annotations cannot be used") as caught:
            read(cub)
        assert "line 2" in caught.value.what
        assert caught.value.fix


class TestOtherReleases:
    def test_names_are_found_with_backslashes_other_case_and_suffix(self, cub):
        expected = read(cub).records
        lines = cub.table("images.txt").read_text().splitlines()
        for n, written in enumerate(("{}\\{}.png", "{}/{}.PNG", "{}/{}.jpg", "images/{}/{}.png", "./{}/{}.JPEG")):
            number, file = lines[n].split()
            folder, name = file.removesuffix(".png").split("/")
            lines[n] = f"{number} {written.format(folder, name)}"
        cub.table("images.txt").write_text("\n".join(lines))
        found = read(cub)
        assert [record.id for record in found.records] == [record.id for record in expected]
        assert found.problems == ()

    def test_numbers_that_another_program_wrote(self, cub):
        expected = read(cub).records
        for name in ("image_class_labels.txt", "train_test_split.txt", "parts/part_locs.txt"):
            lines = cub.table(name).read_text().splitlines()
            cub.table(name).write_text("".join(f"{line}.0\n" for line in lines))
        assert read(cub).records == expected

    def test_labels_that_are_not_the_folder_s(self, cub):
        cub.replace_line("image_class_labels.txt", 1, "1 2")
        found = read(cub)
        assert len(found.records) == 7
        assert found.problems[0].startswith("images with another label than their folder, left out: 1 (001.Black_")
        cub.replace_line("image_class_labels.txt", 5, "5 1")
        with pytest.raises(UserError, match="2 of 8 annotations cannot be used"):
            read(cub)

    def test_ids_that_are_no_numbers_and_classes_that_no_image_has(self, cub):
        expected = read(cub).records
        tables = ("images", "image_class_labels", "train_test_split", "bounding_boxes", "parts/part_locs")
        for name in (f"{table}.txt" for table in tables):
            text = cub.table(name).read_text()
            cub.table(name).write_text("".join(f"id-{line}\n" for line in text.splitlines()))
        cub.table("classes.txt").write_text("0 Bird\n01 001.Black_footed_Albatross\n2 002.Wren\n")
        found = read(cub)
        assert found.records == expected
        assert found.problems == ("classes of classes.txt without an image, left out: 1 (Bird)",)
