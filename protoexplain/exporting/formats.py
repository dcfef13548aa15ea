"""The formats: how each is made of torch's exported program, and run for a comparison."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from protoexplain.errors import UserError
from protoexplain.exporting.network import INPUT

OPSET = 23
"""Of ONNX: the newest that torch writes."""
ABOUT = "protoexplain.json"
"""Name of what a ``.pt2`` file says of itself, among its extra files."""
BATCH = "batch"
_LARGEST = 2**31 - 1
"""Bytes of a message of Protocol Buffers."""


@dataclass(frozen=True)
class Format:
    """How to write and to run files with one suffix.

    Args:
        title: Shown for it.
        packages: That it needs beside torch, as they are imported.
        write: Program, names of the outputs and what the file says of itself -> its bytes.
        run: Bytes and images [B,3,S,S] -> the outputs.
    """

    title: str
    packages: tuple[str, ...]
    write: Callable[[ExportedProgram, Sequence[str], Mapping[str, str]], bytes]
    run: Callable[[bytes, Tensor], list[Tensor]]


def format_of(target: Path) -> Format:
    """By the suffix of the file's name.

    Raises:
        UserError: It is none of the known ones, or packages are not installed.
    """
    chosen = FORMATS.get(target.suffix.lower())
    if chosen is None:
        raise UserError(f"unknown format '{target.suffix}'", str(target), f"end the name with {' or '.join(FORMATS)}")
    missing = [name for name in chosen.packages if importlib.util.find_spec(name) is None]
    if missing:
        what = f"{chosen.title} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise UserError(what, str(target), "pip install 'protoexplain[export]'")
    return chosen


def _onnx_bytes(program: ExportedProgram, outputs: Sequence[str], about: Mapping[str, str]) -> bytes:
    onnx = importlib.import_module("onnx")
    with _quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=({0: BATCH},),
        )
    assert made is not None
    proto = made.model_proto
    if proto.ByteSize() > _LARGEST:
        raise ValueError(f"{proto.ByteSize()} bytes, and ONNX keeps at most {_LARGEST} in one file")
    onnx.helper.set_model_props(proto, dict(about))
    proto.producer_name, proto.producer_version = "protoexplain", about["protoexplain"]
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _run_onnx(content: bytes, images: Tensor) -> list[Tensor]:
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(output) for output in session.run(None, {INPUT: images.numpy()})]


def _program_bytes(program: ExportedProgram, outputs: Sequence[str], about: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(about, indent=1, ensure_ascii=False)})
    return buffer.getvalue()


def _run_program(content: bytes, images: Tensor) -> list[Tensor]:
    return list(torch.export.load(io.BytesIO(content)).module()(images))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's advice is for its authors."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


FORMATS = {
    ".onnx": Format("ONNX", ("onnx", "onnxscript", "onnxruntime"), _onnx_bytes, _run_onnx),
    ".pt2": Format("torch.export", (), _program_bytes, _run_program),
}
