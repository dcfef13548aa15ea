"""Pictures with a table: what columns may be called, where files are looked for, and lines that cannot be used."""

import pytest

from protoexplain.data.geometry import Box
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError


@pytest.fixture
def flat(tmp_path, picture):
    """Writes 20 pictures and a table; a line of it is made of the number of the picture and its class."""

    def write(header, line, name="labels.csv", file="{n}.png", more=""):
        for n in range(20):
            picture(tmp_path / file.format(n=n), n)
        lines = [header, *(line.format(n=n, c=("ant", "bee")[n % 2]) for n in range(20))]
        (tmp_path / name).write_text("\n".join(lines) + "\n" + more)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("header", "line", "name"),
    [
        ("file,label", "{n}.png,{c}", "a.csv"),
        ("Image_ID;Species", "{n};{c}", "a.csv"),
        ("index\tfile name\tclass name", "1\t{n}.png\t{c}", "a.tsv"),
        ("\ufeffclass,filepaths", '"{c}",".\\{n}.PNG"', "META.CSV"),
        ("path|category|note", '/home/x/{n}.png|{c}|"|"', "a.csv"),
        ("filename,labels,dataset", "{n}.jpeg,{c},north", "a.csv"),
        ("sep=;\n\nfile;label", "{n}.png;{c}", "a.csv"),
        ("# made by hand\nfile , label", '" {n}.png " , "{c} "', "a.csv"),
        ("Path,ClassId,class name", "{n}.png,7,{c}", "a.csv"),
    ],
)
def test_names_of_columns_and_files(flat, header, line, name):
    found = read_image_set(flat(header, line, name))
    assert (found.source, found.classes, len(found.records)) == ("table", ("ant", "bee"), 20)
    assert (found.drawn_split, found.problems) == (True, ())
    assert [record.label for record in found.records[:3]] == [0, 1, 0]
    assert found.records[0].id == "0.png"


def test_utf_16_as_spreadsheets_write_it(flat):
    root = flat("file,label", "{n}.png,{c}")
    text = (root / "labels.csv").read_text().replace(",", "\t")
    (root / "labels.csv").unlink()
    (root / "labels.tsv").write_text(text, encoding="utf-16")
    assert len(read_image_set(root).records) == 20


def test_line_ends_of_old_macs(flat):
    root = flat("file,label", "{n}.png,{c}")
    (root / "labels.csv").write_bytes((root / "labels.csv").read_bytes().replace(b"\n", b"\r"))
    assert len(read_image_set(root).records) == 20


def test_columns_that_are_not_used_are_told(flat):
    found = read_image_set(flat("file,age,label,is_valid", "{n}.png,3,{c},True"))
    assert found.remarks == ("columns of labels.csv that are not used: age, is_valid",)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("x,y,w,h", "10,5,20,15"),
        ("Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2", "40,30,10,5,30,20"),
        ("bbox_x,bbox_y,bbox_width,bbox_height", "10.0,5.0,20.0,15.0"),
        ("width,height,xmin,ymin,xmax,ymax", "40,30,10,5,30,20"),
        ("X1,Y1,X2,Y2", "10,5,30,20"),
    ],
)
def test_boxes(flat, columns, values):
    found = read_image_set(flat(f"file,label,{columns}", f"{{n}}.png,{{c}},{values}"))
    assert {record.box for record in found.records} == {Box(10, 5, 30, 20)}


def test_boxes_with_commas_as_points_and_as_shares(flat):
    root = flat("file;label;x;y;w;h", "{n}.png;{c};10,0;5,0;20,0;15,0")
    assert read_image_set(root).records[0].box == Box(10, 5, 30, 20)
    flat("file;label;x;y;w;h", "{n}.png;{c};0,1;0,2;0,5;0,6")
    with pytest.raises(UserError, match="the boxes are shares of the image, from 0 to 1"):
        read_image_set(root)


def test_splits_of_lines(flat):
    root = flat("file,label,set", "{n}.png,{c},Train")
    table = root / "labels.csv"
    text = table.read_text().replace("0.png,ant,Train", "0.png,ant,TEST")
    table.write_text(text.replace("\n1.png,bee,Train", "\n1.png,bee,dev"))
    found = read_image_set(root)
    assert [len(found.split(split)) for split in ("train", "validation", "test")] == [17, 1, 2]
    assert not found.drawn_split


def test_a_table_for_each_split_and_folders_of_them(flat, picture):
    root = flat("id,label", "{n},{c}", "train.csv", "train/{n}.png")
    for n in range(4):
        picture(root / f"test/{n}.png", 50 + n)
    (root / "test_labels.csv").write_text("id,label\n0,ant\n1,bee\n")
    (root / "sample_submission.csv").write_text("id,label\n0,ant\n1,bee\n")
    found = read_image_set(root)
    assert [record.id for record in found.split("test")] == ["test/0.png", "test/1.png"]
    assert len(found.split("train")) == 20
    assert found.problems == ("images without a line in the table, left out: 2 (test/2.png, test/3.png)",)


def test_a_table_in_each_folder_of_a_split(flat, picture):
    root = flat("file_name,label", "{n}.png,{c}", "train/metadata.csv", "train/{n}.png")
    for n in range(2):
        picture(root / f"test/{n}.png", 50 + n)
    (root / "test/metadata.csv").write_text("file_name,label\n0.png,ant\n1.png\n1.png,bee\n")
    found = read_image_set(root)
    assert (found.source, len(found.split("train"))) == ("table", 20)
    assert [record.id for record in found.split("test")] == ["test/0.png", "test/1.png"]
    assert found.problems[0].endswith("(line 3 of test/metadata.csv: it names no class)")


def test_folders_that_are_no_classes(flat, picture):
    root = flat("image_id,dx,sex", "{n},{c},male", "meta.csv", "part_1/{n}.png")
    picture(root / "part_2/20.png")
    assert read_image_set(root).classes == ("ant", "bee")


def test_class_folders_that_a_table_repeats_are_read_as_folders(class_folders):
    names = [path.relative_to(class_folders).as_posix() for path in class_folders.glob("*/*")]
    (class_folders / "list.csv").write_text("\n".join(["file,label", *(f"{n},{n.split('/')[0]}" for n in names)]))
    assert read_image_set(class_folders).source == "folder"
    number = {"daisy": 0, "red_rose": 1, "tulip": 2}
    (class_folders / "list.csv").write_text(
        "\n".join(["file,label", *(f"{n},{number[n.split('/')[0]]}" for n in names)])
    )
    assert read_image_set(class_folders).classes == ("daisy", "red rose", "tulip")


@pytest.mark.parametrize(("column", "value"), [("split", "test"), ("x,y,w,h", "1,2,8,9")])
def test_but_splits_and_boxes_that_it_adds_are_used(class_folders, column, value):
    names = [path.relative_to(class_folders).as_posix() for path in class_folders.glob("*/*")]
    lines = [f"file,label,{column}", *(f"{name},{name.split('/')[0]},{value}" for name in names)]
    (class_folders / "list.csv").write_text("\n".join(lines))
    found = read_image_set(class_folders)
    assert (found.source, found.classes) == ("table", ("daisy", "red rose", "tulip"))
    assert all(record.split == "test" or record.box == Box(1, 2, 9, 11) for record in found.records)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0.png,,train,1,1,2,2", "it names no class"),
        (",ant,train,1,1,2,2", "it names no file"),
        ("0.png", "it names no class"),
        ("0.png,NaN,train,1,1,2,2", "it names no class"),
        ("0.png,ant, black,train,1,1,2,2", "it has values beyond the columns: 2"),
        ("0.png,ant,north,1,1,2,2", "'north' is no split"),
        ("0.png,ant,train,1,1,0,2", "the box has no area"),
        ("0.png,ant,train,1,1,nan,2", "the box is not finite"),
        ("0.png,ant,train,-9,1,2,2", "the box lies outside"),
        ("0.png,ant,train,,,,", "the box is not four numbers"),
    ],
)
def test_one_line_that_cannot_be_used_is_left_out_and_named_and_many_are_refused(flat, line, reason):
    root = flat("file,label,split,x,y,w,h", "{n}.png,{c},train,10,5,20,15", more=line + "\n")
    found = read_image_set(root)
    assert len(found.records) == 20
    assert "lines that cannot be used, left out: 1 (line 22 of labels.csv: " + reason in found.problems[0]
    with (root / "labels.csv").open("a") as table:
        table.write(f"{line}\n" * 3)
    with pytest.raises(UserError, match="4 of 24 annotations cannot be used") as caught:
        read_image_set(root)
    assert reason in caught.value.what
    assert caught.value.where == str(root / "labels.csv")


def test_lines_that_repeat_or_contradict(flat):
    found = read_image_set(flat("file,label", "{n}.png,{c}", more="0.png,ant\n1.png,ant\ngone.png,ant\n../x.png,bee\n"))
    assert len(found.records) == 19
    assert found.problems == (
        "images with several lines, the first is used: 1 (labels.csv, line 22)",
        "images with lines that contradict each other, left out: 1 (labels.csv, line 23)",
        "images listed but not found, left out: 2 (gone.png, ../x.png)",
    )


@pytest.mark.parametrize(("bad", "line"), [(b"5.png,\xff\n", 22), (b'"' + b"x" * 200_000, 22)])
def test_a_file_that_cannot_be_read_on_names_the_line(flat, bad, line):
    root = flat("file,label", "{n}.png,{c}")
    with (root / "labels.csv").open("ab") as table:
        table.write(bad)
    with pytest.raises(UserError, match="the table cannot be read") as caught:
        read_image_set(root)
    assert caught.value.where == f"{root / 'labels.csv'}, line {line}"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("labels.csv", "file,label\nq.jpg,ant\n", "most of the pictures that labels.csv names are not here"),
        ("labels.csv", "\n\n", "labels.csv has no column for the file"),
        ("labels.xlsx", "PK", "labels.xlsx is not read, only tables in CSV or TSV are"),
    ],
)
def test_a_table_that_does_not_fit_is_named_with_the_reason(tmp_path, picture, name, text, reason):
    picture(tmp_path / "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=reason):
        read_image_set(tmp_path)


def test_one_class_and_several_tables(flat):
    root = flat("file,label", "{n}.png,ant")
    with pytest.raises(UserError, match="only one class was found, 'ant'"):
        read_image_set(root)
    (root / "more.csv").write_text((root / "labels.csv").read_text())
    with pytest.raises(UserError, match="several tables may be meant: labels"):
        read_image_set(root)
