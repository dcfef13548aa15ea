"""The reader of MATLAB files against the files that scipy writes."""

import numpy as np
import pytest
from scipy.io import savemat

from protoexplain.data.matlab import fields, read_mat
from protoexplain.errors import UserError


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_texts_cells_and_structures(tmp_path, packed):
    rows = np.zeros((1, 3), dtype=[("name", object), ("size", object)])
    rows["name"][0] = ["a", "Größe 2", "日本"]
    rows["size"][0] = [1.5, -7, 300]
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ["x/y.jpg", "z"]
    path = tmp_path / "a.mat"
    numbers = np.arange(6, dtype=np.uint16).reshape(2, 3)
    savemat(path, {"rows": rows, "cells": cells, "n": numbers, "one": 4, "other": "no"}, do_compression=packed)
    found, files, flat, one = read_mat(path, "rows", "cells", "n", "one")
    assert fields(found, ("size", "name"), path) == [[1.5, -7, 300], ["a", "Größe 2", "日本"]]
    assert files.tolist() == ["x/y.jpg", "z"]
    assert (flat.tolist(), one.tolist()) == ([0, 3, 1, 4, 2, 5], [4])
    with pytest.raises(UserError, match="the file has no 'labels'"):
        read_mat(path, "labels")
    with pytest.raises(UserError, match="no field 'box', only name, size"):
        fields(found, ("box",), path)


def test_older_and_newer_files_are_refused(tmp_path):
    savemat(tmp_path / "old.mat", {"n": 1}, format="4")
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF")
    for name in ("old.mat", "new.mat"):
        with pytest.raises(UserError, match="no file of level 5"):
            read_mat(tmp_path / name, "n")
