"""A second device without its hardware, on which tests find tensors that were made on the CPU instead.

    with second_device():
        moved(model).loss(moved(batch))

Tensors of the second device hold their values on the CPU, but say `cpu:1`, and an operation that gets tensors of both
raises RuntimeError, as it does on a GPU. Allowed are the exceptions that CUDA makes: copies, tensors without
dimensions, and indices on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cpu", 1)
_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXED = {
    _aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._unsafe_index.Tensor,
    _aten._index_put_impl_.default,
}  # fmt: skip


class Moved(Tensor):
    """A tensor of the second device. values: the same on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> Moved:
        found: Moved = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            device=DEVICE,
        )  # fmt: skip
        found.values = values
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"a tensor on {DEVICE} has no array; call .cpu() first")

    def __array__(self, *_: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.values.tolist()


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the values. Raises RuntimeError for tensors of both devices."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    moves = any(isinstance(tensor, Moved) for tensor in tensors)
    left = [tensor for tensor in tensors if not isinstance(tensor, Moved) and tensor.ndim]
    indices = func in _INDEXED and isinstance(tensors[0], Moved)
    if moves and left and func not in _COPIES and not indices:
        found = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors)
        raise RuntimeError(f"{func} of tensors on two devices: {found}")
    if func is _aten.copy_.default:
        moves = isinstance(args[0], Moved)
    elif kwargs.get("device") is not None:
        moves = torch.device(kwargs["device"]) == DEVICE
        kwargs = kwargs | {"device": torch.device("cpu")}
    out = func(*tree_map(_values, args), **tree_map(_values, kwargs))
    returned = func._schema.returns
    if returned and returned[0].alias_info is not None and returned[0].alias_info.is_write:  # in place
        return args[0]
    return moved(out) if moves else out


def _values(leaf: Any) -> Any:
    return leaf.values if isinstance(leaf, Moved) else leaf


class _FromValues(TorchFunctionMode):
    """Functions that make tensors of Python numbers past the dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor:
            kwargs = {"dtype": args[0].dtype, "device": args[0].device} | kwargs
            func, args = torch.tensor, args[1:]
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            return func(*args, **(kwargs | {"device": "cpu"})).to(DEVICE)
        if func is torch.unravel_index and isinstance(args[0], Moved):
            return moved(func(args[0].values, *args[1:], **kwargs))
        return func(*args, **kwargs)


class _Dispatch(TorchDispatchMode):
    """Functions that take no tensor but a device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextlib.contextmanager
def second_device() -> Iterator[None]:
    """What runs within may use DEVICE. `torch.inference_mode`, which these tensors cannot be in, is `torch.no_grad`."""
    with mock.patch.object(torch, "inference_mode", torch.no_grad), _FromValues(), _Dispatch():
        yield


def moved(given: Any) -> Any:
    """A module, moved in place, or the same structure with its tensors moved."""
    if not isinstance(given, nn.Module):
        return tree_map(lambda leaf: Moved(leaf) if isinstance(leaf, Tensor) else leaf, given)
    for module in given.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(Moved(parameter.detach()), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Moved(buffer)
    return given
