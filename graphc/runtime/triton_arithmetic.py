"""Triton's interpreter made to compute as a GPU does, with checked memory.

Triton's own interpreter holds bfloat16 as bit patterns, on which it adds and compares
integers, and calls Python once per element for a reduction or scan with a function of
the kernel's own. `install` replaces these parts, in a process that does nothing else.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import triton.language as tl
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

from graphc.runtime.triton_memory import LaunchMemory

_own_numpy_dtype = interpreter._get_np_dtype
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_ATOMIC = interpreter._ir.ATOMIC_OP
_RELAXED = interpreter._ir.MEM_SEMANTIC.RELAXED


def _exchange(old: Any, new: Any) -> Any:
    return new


_COMBINERS: dict[Any, Callable[[Any, Any], Any]] = {
    _ATOMIC.ADD: np.add,
    _ATOMIC.FADD: np.add,
    _ATOMIC.MIN: np.minimum,
    _ATOMIC.UMIN: np.minimum,
    _ATOMIC.MAX: np.maximum,
    _ATOMIC.UMAX: np.maximum,
    _ATOMIC.AND: np.bitwise_and,
    _ATOMIC.OR: np.bitwise_or,
    _ATOMIC.XOR: np.bitwise_xor,
    _ATOMIC.XCHG: _exchange,
}


def install() -> Builder:
    """Changes Triton's interpreter in this process and returns its builder."""
    patched: Any = interpreter
    patched._get_np_dtype = _numpy_dtype
    builder = Builder()
    # Checks whether integers overflow, which only debug builds of kernels do.
    builder.options = replace(builder.options, sanitize_overflow=False)
    patched.interpreter_builder = builder
    patched.interpreter_semantic = TritonSemantic(builder)
    patched.InterpretedFunction.__call__ = _call
    patched.ReduceOps.apply_impl = _reduce
    patched.ScanOps.generic_scan = _scan
    # Triton patches the language anew for each call of a function; once is enough.
    modules = {"tl": tl, "core": tl.core}
    interpreter._patch_lang(types.FunctionType(_exchange.__code__, modules))
    patched.tl.tensor.__index__ = lambda tensor: tensor.handle.data.item()
    return builder


_numpy_dtypes: dict[str, np.dtype[Any]] = {"bf16": _BFLOAT16}


def _numpy_dtype(of: Any) -> np.dtype[Any]:
    """The dtype of the arrays that hold blocks of a type."""
    name = of.scalar.name
    found = _numpy_dtypes.get(name)
    if found is None:
        found = _numpy_dtypes[name] = _own_numpy_dtype(of.scalar)
    return found


def _is_f8(of: Any) -> bool:
    return of.scalar.is_fp8()


def _call(function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Calls a function of a kernel, without hiding its errors in others."""
    return function.rewrite()(*arguments, **keywords)


class Builder(interpreter.InterpreterBuilder):
    """Executes what a kernel says, one operation on blocks at a time.

    Attributes:
        memory: What the kernel that runs may reach.
    """

    memory: LaunchMemory

    # Memory. Triton's versions differ in what policies follow the operands.

    def create_masked_load(
        self, ptrs: Any, mask: Any, other: Any, *policies: Any, **more_policies: Any
    ) -> TensorHandle:
        element = ptrs.get_element_ty()
        dtype = _numpy_dtype(element)
        # What masked lanes hold is undefined unless it is given.
        values = np.full(dtype.itemsize, 0xFF, np.uint8).view(dtype)
        if other is not None:
            values = other.data
        loaded = self.memory.load(ptrs.data, np.asarray(mask.data), values, dtype)
        return TensorHandle(loaded, element)

    def create_masked_store(self, ptrs: Any, value: Any, mask: Any, *policies: Any):
        values = value.data.astype(_numpy_dtype(ptrs.get_element_ty()), copy=False)
        self.memory.store(ptrs.data, values, np.asarray(mask.data))

    def create_atomic_rmw(
        self, op: Any, ptr: Any, val: Any, mask: Any, sem: Any, scope: Any
    ) -> TensorHandle:
        dtype = val.data.dtype
        unsigned = op in (_ATOMIC.UMIN, _ATOMIC.UMAX)
        values = val.data.view(f"u{dtype.itemsize}") if unsigned else val.data
        values = np.broadcast_to(values, ptr.data.shape).reshape(-1)
        combine = _COMBINERS[op]

        def change(old: Any, lanes: Any) -> Any:
            return combine(old, values[lanes])

        chosen = np.asarray(mask.data)
        orders = sem != _RELAXED
        old = self.memory.update(ptr.data, chosen, values.dtype, change, orders)
        return TensorHandle(old.view(dtype), val.dtype.scalar)

    def create_atomic_cas(
        self, ptr: Any, cmp: Any, val: Any, sem: Any, scope: Any
    ) -> TensorHandle:
        shape = ptr.data.shape
        expected = np.broadcast_to(cmp.data, shape).reshape(-1)
        values = np.broadcast_to(val.data, shape).reshape(-1)

        def change(old: Any, lanes: Any) -> Any:
            return np.where(old == expected[lanes], values[lanes], old)

        everywhere = np.ones(shape, bool)
        orders = sem != _RELAXED
        old = self.memory.update(ptr.data, everywhere, values.dtype, change, orders)
        return TensorHandle(old, cmp.dtype.scalar)

    # bfloat16.

    def get_bf16(self, value: float) -> TensorHandle:
        return TensorHandle(np.array([value], _BFLOAT16), tl.bfloat16)

    def cast_impl(self, src: Any, dst_type: Any) -> TensorHandle:
        data = src.data.astype(_numpy_dtype(dst_type))
        return TensorHandle(data, dst_type.scalar)

    def create_fp_to_fp(self, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        nearest = rounding_mode in (None, interpreter._ir.ROUNDING_MODE.RTNE)
        if nearest and not _is_f8(src.dtype) and not _is_f8(dst_type):
            return self.cast_impl(src, dst_type)
        return super().create_fp_to_fp(src, dst_type, rounding_mode)

    def create_dot(
        self, a: Any, b: Any, d: Any, input_precision: Any, max_num_imprecise_acc: Any
    ) -> TensorHandle:
        if _is_f8(a.dtype) or _is_f8(b.dtype):
            return super().create_dot(a, b, d, input_precision, max_num_imprecise_acc)
        wide = d.data.dtype
        product = np.matmul(a.data.astype(wide), b.data.astype(wide))
        return TensorHandle(product + d.data, d.dtype.scalar)

    # Without `propagate_nan` the other operand wins over a NaN.

    def create_minnumf(self, lhs: Any, rhs: Any) -> TensorHandle:
        return self.binary_op(lhs, rhs, np.fmin)

    def create_maxnumf(self, lhs: Any, rhs: Any) -> TensorHandle:
        return self.binary_op(lhs, rhs, np.fmax)

    def create_clampf(self, arg: Any, lo: Any, hi: Any, propagate_nans: Any) -> Any:
        if propagate_nans == interpreter._ir.PROPAGATE_NAN.NONE:
            return self.create_minnumf(self.create_maxnumf(arg, lo), hi)
        return self.create_minimumf(self.create_maximumf(arg, lo), hi)

    # A scalar that is the result of a comparison is said to have the operands' dtype.

    def create_splat(self, ret_ty: Any, arg: Any) -> TensorHandle:
        spread = np.full(ret_ty.shape, arg.data, arg.data.dtype)
        return TensorHandle(spread, arg.dtype.scalar)

    # Triton 3.6 takes -1 for all ones, also of unsigned numbers, and rounds twice.

    def get_all_ones_value(self, type: Any) -> TensorHandle:
        return TensorHandle(np.invert(np.zeros(1, _numpy_dtype(type))), type.scalar)

    def create_fma(self, x: Any, y: Any, z: Any) -> TensorHandle:
        if hasattr(interpreter._interpreter, "fma_fp32"):
            return super().create_fma(x, y, z)
        return TensorHandle(_multiply_add(x.data, y.data, z.data), z.dtype.scalar)


def _multiply_add(x: Any, y: Any, z: Any) -> Any:
    """``x * y + z`` with hardly more error than that of one rounding."""
    dtype = z.dtype
    if dtype != np.float64:
        return (x.astype(np.float64) * y + z).astype(dtype)
    # What the product and the sum lose, after Dekker and Knuth.
    product = x * y
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    lost = x_high * y_high - product + x_high * y_low + x_low * y_high + x_low * y_low
    total = product + z
    added = total - product
    lost = lost + (product - (total - added) + (z - added))
    return np.where(np.isfinite(lost), total + lost, total)


def _halves(x: Any) -> tuple[Any, Any]:
    """Two numbers of half as many bits whose sum a float64 is."""
    upper = np.asarray(x).view(np.uint64) & np.uint64(-(2**27) % 2**64)
    high = upper.view(np.float64)
    return high, x - high


_UFUNCS: dict[Any, Any] = {
    tl.standard._sum_combine: np.add,
    tl.standard._elementwise_max: np.fmax,
    tl.standard._elementwise_min: np.fmin,
}


def _reduce(operation: Any, operands: tuple[Any, ...]) -> Any:
    """Reduces blocks along an axis, neighbours first, so that their order is kept."""
    axis, keep_dims = operation.axis, operation.keep_dims
    blocks = [operand.handle.data for operand in operands]
    if ufunc := _UFUNCS.get(operation.combine_fn):
        reduced = ufunc.reduce(blocks[0], axis=axis, keepdims=keep_dims)
        return operation.to_tensor(reduced, operands[0].dtype)
    rank = blocks[0].ndim
    if axis is None:
        blocks = [block.reshape(-1) for block in blocks]
    at = 0 if axis is None else axis % rank
    while (extent := blocks[0].shape[at]) > 1:
        even = [block.take(range(0, extent, 2), at) for block in blocks]
        odd = [block.take(range(1, extent, 2), at) for block in blocks]
        blocks = _combine(operation, operands, even, odd)
    if not keep_dims:
        blocks = [block.squeeze(at) for block in blocks]
    elif axis is None:
        blocks = [block.reshape((1,) * rank) for block in blocks]
    return _tensors(operation, operands, blocks)


def _scan(operation: Any, operands: Sequence[Any]) -> Any:
    """Combines each element with all before it, over distances 1, 2, 4 and so on."""
    at = operation.axis % operands[0].handle.data.ndim
    blocks = [operand.handle.data for operand in operands]
    shape = [1] * blocks[0].ndim
    shape[at] = -1
    extent = blocks[0].shape[at]
    position = np.arange(extent).reshape(shape)
    distance = 1
    while distance < extent:
        before = [np.roll(block, distance, at) for block in blocks]
        combined = _combine(operation, operands, before, blocks)
        blocks = [
            np.where(position < distance, block, new)
            for block, new in zip(blocks, combined, strict=True)
        ]
        distance *= 2
    return _tensors(operation, operands, blocks)


def _combine(
    operation: Any, operands: Sequence[Any], left: list[Any], right: list[Any]
) -> list[Any]:
    """What the kernel's own function makes of all elements of two lists of blocks."""
    combined = operation.combine_fn(
        *_tensors(operation, operands, left), *_tensors(operation, operands, right)
    )
    results = combined if isinstance(combined, tuple) else (combined,)
    return [result.handle.data for result in results]


def _tensors(
    operation: Any, operands: Sequence[Any], blocks: Sequence[Any]
) -> list[Any]:
    """Blocks as tensors of the dtypes of `operands`."""
    return [
        operation.to_tensor(block, operand.dtype)
        for block, operand in zip(blocks, operands, strict=True)
    ]
