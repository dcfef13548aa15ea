"""Where memory runs out, the setting that needs less is named; other errors stay as they are."""

import pytest
import torch

from protoexplain.allocator import memory_advice
from protoexplain.errors import UserError


def fail(error):
    with memory_advice("training.batch_size", 32):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_half_the_batch_is_advised(error):
    with pytest.raises(UserError) as caught:
        fail(error)
    assert caught.value.what == "out of memory with 32 pictures in a batch"
    assert caught.value.where == "training.batch_size"
    assert "set it to 16 or less" in caught.value.fix


def test_what_the_processor_refuses_is_recognised():
    with pytest.raises(UserError, match="out of memory"), memory_advice("batch_size", 8):
        torch.empty(1 << 58, dtype=torch.uint8)


def test_a_single_picture_leaves_other_advice():
    with pytest.raises(UserError) as caught, memory_advice("batch_size", 1):
        raise MemoryError
    assert caught.value.fix.startswith("choose smaller pictures")


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("out of memory"), UserError("mine")])
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error
