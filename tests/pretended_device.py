"""An accelerator that every computer can pretend to have; like Apple's, it knows no float64.

Its tensors say that they lie on `DEVICE` and are computed on the CPU.  What fails on a real one fails here, too: an
operation on tensors of both devices (but for single numbers, and indices on the CPU), float64, and NumPy.  Unlike
those of `FakeTensorMode` they have numbers, which the code may look at.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
DEVICE = torch.device("lazy", 0)
"""Of the types that torch knows, the one that needs no driver: its gradients flow in the thread of the CPU's."""
_INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
"""Their second argument, the indices, may lie on the CPU."""


class OnDevice(Tensor):
    """A tensor that says that it lies on `DEVICE`; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held):
        place = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, held.shape, **place, dtype=held.dtype, device=DEVICE)

    def __init__(self, held):
        self.held = held

    def __repr__(self):
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func == Tensor.tolist:
            return args[0].held.tolist()
        if func == Tensor.data.__set__:
            args[0].held = args[1].held
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of the pretended device")


@contextmanager
def pretended_device():
    """Inside, tensors and modules can be made on `DEVICE` and moved there and back."""
    with ExitStack() as undone:
        for switch in (torch._C._set_only_lift_cpu_tensors, torch.__future__.set_overwrite_module_params_on_conversion):
            switch(True)
            undone.callback(switch, False)
        known = "torch.optim.optimizer._get_fused_kernels_supported_devices"
        undone.enter_context(mock.patch(known, return_value=["cpu", DEVICE.type]))
        undone.enter_context(_Computed())
        yield


def pretended_fabric(*_, **__):
    """One process that works on the pretended device; takes and ignores what `make_fabric` takes."""
    return Fabric(strategy=_Strategy(device=DEVICE, accelerator=_Accelerator()))


class _Strategy(SingleDeviceStrategy):
    def module_to_device(self, module):
        """As on a real device, parameters that are there stay those that the optimizer knows."""
        if any(tensor.device != DEVICE for tensor in (*module.parameters(), *module.buffers())):
            super().module_to_device(module)


class _Accelerator(CPUAccelerator):
    def setup_device(self, device):
        pass


class _Computed(TorchDispatchMode):
    """Computes what is asked of tensors on the device on the numbers that they hold."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if OnDevice not in types and "device" not in kwargs:
            return func(*args, **kwargs)
        given = [value for value in _tensors((args, kwargs.values())) if isinstance(value, OnDevice)]
        wanted = kwargs.get("device")
        results_there = bool(given) if wanted is None else torch.device(wanted).type == DEVICE.type
        if func is aten.copy_.default:
            results_there = isinstance(args[0], OnDevice)
        elif func is not aten._to_copy.default:
            _refuse_two_devices(func, args, kwargs)
        if results_there and wanted is not None:
            kwargs = {**kwargs, "device": "cpu"}
        result = func(*_each(_held, args), **{name: _each(_held, value) for name, value in kwargs.items()})
        if not results_there:
            return result
        changed = {id(value.held): value for value in given}
        return _each(lambda held: changed[id(held)] if id(held) in changed else _sent(held), result)


def _tensors(values):
    """All tensors in nested lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | type({}.values())):
            yield from _tensors(value)


def _each(change, value):
    """The same nested lists with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_each(change, one) for one in value) if isinstance(value, list | tuple) else value


def _held(tensor):
    return tensor.held if isinstance(tensor, OnDevice) else tensor


def _sent(held):
    if held.dtype in (torch.float64, torch.complex128):
        raise TypeError("the device knows no float64")
    with torch.inference_mode(held.is_inference()):
        return OnDevice(held)


def _refuse_two_devices(func, args, kwargs):
    judged = (args[0], *args[2:]) if func in _INDEXING and isinstance(args[0], OnDevice) else args
    tensors = _tensors((judged, kwargs.values()))
    devices = {tensor.device.type for tensor in tensors if isinstance(tensor, OnDevice) or tensor.dim()}
    if len(devices) > 1:
        raise RuntimeError(f"{func} got tensors on two devices: {', '.join(sorted(devices))}")
