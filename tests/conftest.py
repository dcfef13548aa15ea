"""Small data sets: one in each published layout with few 40 x 30 pictures, and planted birds to train on."""

import functools
import gc
import io
import json
import os
import pickle
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tiny tensors on many threads take 50 times as long

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image
from scipy.io import savemat

from protoexplain.planted import draw

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def write_picture(path, seed=0, size=(40, 30)):
    """A picture of noise; equal seeds give equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


@pytest.fixture
def picture():
    return write_picture


def structs(**columns):
    """A MATLAB structure array from columns of equal length."""
    rows = np.zeros(len(next(iter(columns.values()))), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        rows[name] = values
    return rows


def cells(values):
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


@dataclass
class CubTree:
    """CUB: 2 classes x 4 images, the first two of each for training; ids 1..8."""

    root: Path

    def table(self, name):
        return self.root / name

    def append(self, name, text):
        self.table(name).write_text(self.table(name).read_text() + text)

    def replace_line(self, name, number, line):
        lines = self.table(name).read_text().splitlines()
        lines[number - 1 : number] = [] if line is None else [line]
        self.table(name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def cub(tmp_path):
    root = tmp_path / "birds"
    files = [
        f"{c:03}.{name}/{name}_{i}.png" for c, name in ((1, "Black_footed_Albatross"), (2, "Wren")) for i in range(4)
    ]
    for number, file in enumerate(files, 1):
        write_picture(root / "images" / file, number)
        mask = np.zeros((30, 40), dtype=np.uint8)
        mask[5:20, 10:30] = 255
        (root / "segmentations" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / "segmentations" / file)
    (root / "parts").mkdir()
    numbers = range(1, len(files) + 1)
    tables = {
        "images.txt": [f"{n} {file}" for n, file in zip(numbers, files, strict=True)],
        "classes.txt": ["1 001.Black_footed_Albatross", "2 002.Wren"],
        "image_class_labels.txt": [f"{n} {1 + (n > 4)}" for n in numbers],
        "train_test_split.txt": [f"{n} {int((n - 1) % 4 < 2)}" for n in numbers],
        "bounding_boxes.txt": [f"{n} 10.0 5.0 20.0 15.0" for n in numbers],
        "parts/parts.txt": ["1 back", "2 left eye"],
        "parts/part_locs.txt": [line for n in numbers for line in (f"{n} 1 12.5 7.0 1", f"{n} 2 0.0 0.0 0")],
    }
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return CubTree(root)


def cars_columns(files, labels, **more):
    boxes = {name: [value] * len(files) for name, value in zip(("x1", "y1", "x2", "y2"), (11, 6, 30, 20), strict=True)}
    columns = {f"bbox_{name}": values for name, values in boxes.items()}
    return structs(**columns, **({"class": labels} if labels else {}), **more)


@pytest.fixture
def cars(tmp_path):
    """The layout with a devkit: 2 classes, 4 training and 2 test images, test labels in the root."""
    root = tmp_path / "cars"
    (root / "devkit").mkdir(parents=True)
    for folder, count in (("cars_train", 4), ("cars_test", 2)):
        for n in range(1, count + 1):
            write_picture(root / folder / f"{n:05}.jpg", n + 10 * count)
    savemat(
        root / "devkit/cars_meta.mat",
        {"class_names": np.array(["AM General Hummer", "Smart fortwo"], dtype=object)},
    )
    train, test = [f"{n:05}.jpg" for n in range(1, 5)], [f"{n:05}.jpg" for n in range(1, 3)]
    unlabelled = cars_columns(test, None, fname=test)
    savemat(root / "devkit/cars_train_annos.mat", {"annotations": cars_columns(train, [1, 2, 1, 2], fname=train)})
    savemat(root / "devkit/cars_test_annos.mat", {"annotations": unlabelled})
    labelled = cars_columns(test, [2, 1], fname=test)
    savemat(root / "cars_test_annos_withlabels.mat", {"annotations": labelled})
    return root


@pytest.fixture
def cars_single(tmp_path):
    """The layout of one annotation file: 2 classes, 3 images, the last for testing."""
    root = tmp_path / "cars1"
    files = [f"car_ims/{n:06}.jpg" for n in range(1, 4)]
    for n, file in enumerate(files):
        write_picture(root / file, n)
    annotations = cars_columns(files, [1, 2, 2], relative_im_path=files, test=[0, 0, 1])
    names = np.array(["AM General Hummer", "Smart fortwo"], dtype=object)
    savemat(root / "cars_annos.mat", {"annotations": annotations, "class_names": names})
    return root


def dog_xml(*boxes):
    objects = "".join(
        f"<object><name>dog</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    return f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"


@pytest.fixture
def dogs(tmp_path):
    """2 classes x 3 images, the last of each for testing; one image has two boxes."""
    root = tmp_path / "dogs"
    lists = {"train": ([], []), "test": ([], [])}
    for label, folder in ((1, "n02085620-Chihuahua"), (2, "n02107574-Greater_Swiss_Mountain_dog")):
        for n in range(3):
            file = f"{folder}/{folder.split('-')[0]}_{n}.jpg"
            write_picture(root / "Images" / file, 10 * label + n)
            annotation = root / "Annotation" / file.removesuffix(".jpg")
            annotation.parent.mkdir(parents=True, exist_ok=True)
            boxes = [(10, 5, 30, 20)] + [(0, 0, 9, 9)] * (label == 2 and n == 0)
            annotation.write_text(dog_xml(*boxes))
            files, labels = lists["train" if n < 2 else "test"]
            files.append(file)
            labels.append(label)
    for split, (files, labels) in lists.items():
        labels = np.array(labels, dtype=np.uint8)[:, None]
        savemat(root / f"{split}_list.mat", {"file_list": cells(files), "labels": labels})
    return root


@pytest.fixture
def class_folders(tmp_path):
    """Three class folders with 10, 5 and 2 images and no split."""
    root = tmp_path / "flowers"
    for seed, (name, count) in enumerate((("daisy", 10), ("red_rose", 5), ("tulip", 2))):
        for n in range(count):
            write_picture(root / name / f"{n}.png", 100 * seed + n)
    return root


@pytest.fixture
def listed_pictures(tmp_path):
    """A flat folder with a table: two classes with 3 training images and one test image each, with boxes."""
    root = tmp_path / "moths"
    lines = ["file,label,split,x,y,w,h"]
    for n in range(8):
        write_picture(root / f"{n}.png", 700 + n)
        lines.append(f"{n}.png,{('hawk', 'owlet')[n % 2]},{'test' if n > 5 else 'train'},10,5,20,15")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root


def write_shard(path, members):
    """A plain tar file of regular files, by name; a `TarInfo` stands for a member without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """Writes a tar file; what is found out about it is kept beside the test's own files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_shard


@pytest.fixture
def tar_shards(tmp_path, shard):
    """Tar files of two classes: 2 of 3 images each that train, one of 2 that test."""
    root, number = tmp_path / "moths", 0
    for name, count in (("train-000", 3), ("train-001", 3), ("test-000", 2)):
        members = {}
        for _ in range(count):
            number += 1
            picture = write_picture(tmp_path / "picture.png", 800 + number)
            members |= {f"{number:04}.png": picture.read_bytes(), f"{number:04}.cls": b"%d\n" % (number % 2)}
        shard(root / f"{name}.tar", members)
    (root / "classes.txt").write_text("hawk\nowlet\n")
    return root


FUNNY_PARTS = ("beak", "eye", "foot", "tail", "wing")


@pytest.fixture
def funny_birds(tmp_path):
    """The published layout: 2 classes with 2 training images and 1 test image with an object; single parts removed."""
    root = tmp_path / "FunnyBirds"
    for label in range(2):
        for split, numbers in (("train", (2 * label, 2 * label + 1)), ("test", (label,))):
            for number in numbers:
                write_picture(
                    root / split / str(label) / f"{number:06}.png", 10 * label + number + 50 * (split == "test")
                )
        parts = np.zeros((30, 40, 3), dtype=np.uint8)
        parts[5:20, 10:30] = (170, 170, 170)
        for column, colour in enumerate(
            ((255, 255, 0), (255, 255, 253), (255, 255, 254), (255, 0, 1), (204, 204, 204))
        ):
            parts[10:14, 12 + 4 * column : 15 + 4 * column] = colour
        map_ = root / "test_part_map" / str(label) / f"{label:06}.png"
        map_.parent.mkdir(parents=True)
        Image.fromarray(parts).save(map_)
        changed = root / "test_interventions" / str(label) / f"{label:06}"
        for number, removed in enumerate((None, *FUNNY_PARTS)):
            kept = "_".join(part for part in FUNNY_PARTS if part != removed)
            write_picture(changed / f"body_{kept}.png", 100 + number)
        write_picture(changed / "background_interventions" / "0.png", 110)
    classes = [{"class_idx": label, "parts": dict.fromkeys(FUNNY_PARTS, label)} for label in range(2)]
    scenes = {"train": [0, 0, 1, 1], "test": [0, 1]}
    for name, content in {
        "classes": classes,
        "parts": {part: [{"model": f"{part}01"}, {"model": f"{part}02"}] for part in FUNNY_PARTS},
        **{f"dataset_{s}": [{"class_idx": label, "bg_objects": "4,"} for label in of] for s, of in scenes.items()},
    }.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """All that is imported and collected stays: looking for garbage among it takes a fifth of this time, and more
    later on."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


FIRST = ("browser", "slow")
"""Files with such tests begin first, so that none of them is what the end waits for."""


def pytest_collection_modifyitems(config, items):
    """Files that take long come first, those that drive the browser before all others; what takes hours is left out
    unless it is asked for.
    """
    if "long" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    ranks = {}
    for item in items:
        rank = min((i for i, name in enumerate(FIRST) if item.get_closest_marker(name)), default=len(FIRST))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker takes whole files, so that what they share is made once; and one alone has the app and its browser."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return "browser" if "/browser/" in file else file

    config.option.loadscopereorder = False
    return Files(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Tests kill processes, not the computer: nothing is lost that was written, and waiting for it takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def bounded_memory():
    """A test that takes a gigabyte more than its process has fails with MemoryError."""
    resource = pytest.importorskip("resource")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder of all workers of this session; what is made in it is made under a lock."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def planted(shared_folder):
    """Planted birds: 4 classes x (6 training + 2 test) images of 64 px; not to be changed."""
    root = shared_folder / "planted" / "birds"
    with FileLock(shared_folder / "planted.lock"):
        if not root.exists():
            draw(root, classes=4, train_per_class=6, test_per_class=2, size=64)
    return root


@pytest.fixture(scope="session")
def tiny_run(shared_folder, planted):
    """Family -> what `tiny_train` returns of it on planted birds, trained once in a session; not to be changed."""
    from tiny_runs import tiny_train

    @functools.cache
    def run(family):
        result = shared_folder / f"{family}.result"
        with FileLock(shared_folder / f"{family}.lock"):
            if not result.exists():
                result.write_bytes(pickle.dumps(tiny_train(family, planted, shared_folder / family)))
        return pickle.loads(result.read_bytes())  # noqa: S301 - our own

    return run


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_run):
    """Family -> the folder of the checkpoint of its `tiny_run`; not to be changed."""
    return lambda family: tiny_run(family).checkpoint.path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Call the command as the console script does, in this process: (exit code, output, errors)."""
    from protoexplain.cli.main import main

    monkeypatch.setattr("signal.signal", lambda *handler: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["protoexplain", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return call
