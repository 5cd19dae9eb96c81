"""Random tensors with Keras's names, and the generators that their seeds come from.

Numbers are counter-based: each draw has a key made of a seed, a counter and the path
of the layer that draws, so the same seed gives the same numbers on every target, and
adding a layer changes no other layer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from graphc.frontend import ops
from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import floatx, is_float, is_int, standardize_dtype
from graphc.frontend.seeds import (
    drawing_path,
    global_seed,
    next_draw,
    path_hash,
    random_key,
)
from graphc.frontend.tracing import current_path, current_trace, tensor, value
from graphc.frontend.variables import Variable
from graphc.ir import Location
from graphc.ir import ops as ir_ops
from graphc.ir.errors import GraphError

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


class SeedGenerator:
    """A source of seeds: each `next` gives another one.

    Its state is a variable, so random draws in a training step continue where the last
    step stopped, and are saved with a model.

    Args:
        seed: An integer; by default the global seed and the current layer path.
        name: The state's name.

    Raises:
        ValueError: If `seed` is no integer.
    """

    def __init__(
        self, seed: int | None = None, name: str | None = None, **keywords: Any
    ) -> None:
        if keywords:
            raise ValueError(f"Unrecognized keyword arguments. Received: {keywords}")
        integer = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        if seed is not None and (not integer or seed < 0):
            raise ValueError(
                "Argument `seed` must be an integer of at least 0."
                f" Received: seed={seed}"
            )
        self.name = name or "seed_generator"
        self._initial_seed = seed
        path = next_draw(f"{current_path()}/{self.name}") if seed is None else ""
        self.state = Variable(
            self._first_state(path), trainable=False, name="seed_generator_state"
        )
        self._owned = False

    def _first_state(self, path: str) -> np.ndarray[Any, Any]:
        word = self._initial_seed
        if word is None:
            word = global_seed() ^ path_hash(path)[0]
        return np.array([int(word) & 0xFFFFFFFF, 0], np.uint32)

    def adopt(self, path: str) -> None:
        """Starts at what belongs to `path`: the layer's that has the generator.

        Without it, seeds would depend on how many generators were made before.
        """
        if self._initial_seed is None and not self._owned:
            self.state.assign(self._first_state(drawing_path(path)))
        self._owned = True

    def next(self, ordered: bool = True) -> Any:
        """A seed, u32[2] = (seed, counter); the counter then goes up by one."""
        state = self.state.value
        self.state.assign(state + np.array([0, 1], np.uint32))
        return state

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal generator from."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The generator that `get_config` described."""
        return cls(**config)


def seed_source(seed: Any) -> Any:
    """Where the key of a draw comes from: a `SeedGenerator`, or a key u32[4]."""
    if isinstance(seed, SeedGenerator):
        return seed
    if seed is None:
        trace = current_trace()
        if trace is not None:
            raise GraphError(
                "a random draw in a traced function needs a seed: without one it would"
                " give the same numbers in every step",
                received="seed=None",
                location=Location.capture(trace.builder.path),
                hint="make a SeedGenerator in the layer's __init__, keep it as an"
                " attribute and pass it as seed=self.seed_generator",
            )
        return random_key(global_seed(), next_draw(current_path()))
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return random_key(int(seed), "")
    return seed  # what `SeedGenerator.next` gave


def _key(source: Any) -> Any:
    """The random key u32[4] of a draw."""
    if isinstance(source, SeedGenerator):
        here = np.array(path_hash(drawing_path(current_path())), np.uint32)
        return ir_ops.concatenate(value(source.next()), value(here), axis=0)
    words = value(source, "uint32")
    if words.type.shape == (4,):
        return words
    return ir_ops.concatenate(words, value(np.zeros(2, np.uint32)), axis=0)


def _float_dtype(dtype: Any) -> str:
    name = standardize_dtype(dtype) if dtype is not None else floatx()
    if not is_float(name):
        raise ValueError(f"Expected a floating-point dtype. Received: dtype={dtype}")
    return name


_DISTRIBUTIONS = {
    "uniform": ir_ops.random_uniform,
    "normal": ir_ops.random_normal,
    "truncated_normal": ir_ops.random_truncated_normal,
}


@op
def _draw(
    source: Any, distribution: str, shape: Any, scale: Any, offset: Any, dtype: str
) -> Any:
    draw = _DISTRIBUTIONS[distribution]
    sample = tensor(draw(_key(source), shape=list(shape), dtype=dtype))
    return ops.cast(sample * scale + offset, dtype)


def normal(
    shape: Sequence[Any],
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Draws from a normal distribution.

    Args:
        shape: The shape of the result.
        mean: The mean.
        stddev: The standard deviation.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    return _draw(seed_source(seed), "normal", tuple(shape), stddev, mean, dtype)


def truncated_normal(
    shape: Sequence[Any],
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Draws from a normal distribution cut off at two standard deviations.

    Args:
        shape: The shape of the result.
        mean: The mean.
        stddev: The standard deviation before the cut.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    return _draw(
        seed_source(seed), "truncated_normal", tuple(shape), stddev, mean, dtype
    )


def uniform(
    shape: Sequence[Any],
    minval: Any = 0.0,
    maxval: Any = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Draws from ``minval <= x < maxval``, all equally likely.

    Args:
        shape: The shape of the result.
        minval: The lower bound.
        maxval: The upper bound.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    scale = maxval - minval
    return _draw(seed_source(seed), "uniform", tuple(shape), scale, minval, dtype)


@op
def _randint(source: Any, shape: Any, low: Any, high: Any, dtype: str) -> Any:
    bits = tensor(ir_ops.random_bits(_key(source), shape=list(shape)))
    # The upper half of a 64-bit product: a random fraction of the span.
    low, high = ops.cast(low, "int64"), ops.cast(high, "int64")
    span = ops.cast(high - low, "uint64")
    product = ops.cast(bits, "uint64") * span
    index = ops.cast(ops.right_shift(product, np.uint64(32)), "int64")
    return ops.cast(index + low, dtype)


def randint(
    shape: Sequence[Any],
    minval: Any,
    maxval: Any,
    dtype: Any = "int32",
    seed: Any = None,
) -> Any:
    """Draws integers from ``minval <= n < maxval``, all equally likely.

    Args:
        shape: The shape of the result.
        minval: The lower bound.
        maxval: The upper bound, which is excluded; at most 2**32 above `minval`.
        dtype: An integer dtype.
        seed: An integer, a `SeedGenerator`, or None for the global seed.

    Raises:
        ValueError: If the dtype is no integer dtype.
    """
    name = standardize_dtype(dtype)
    if not is_int(name):
        raise ValueError(f"Expected an integer dtype. Received: dtype={dtype}")
    return _randint(seed_source(seed), tuple(shape), minval, maxval, name)


_PARAMETRIC = {
    "beta": ir_ops.random_beta,
    "binomial": ir_ops.random_binomial,
    "gamma": ir_ops.random_gamma,
}


@op
def _draw_from(
    source: Any, distribution: str, shape: Any, parameters: Sequence[Any], dtype: str
) -> Any:
    draw = _PARAMETRIC[distribution]
    filled = [value(ops.full(shape, each, dtype)) for each in parameters]
    return tensor(draw(_key(source), *filled))


def gamma(shape: Sequence[Any], alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Draws from gamma distributions of scale 1.

    Args:
        shape: The shape of the result.
        alpha: The shape parameter, of at least 0: a number, or a tensor that broadcasts
            to `shape`. No gradient flows to it: where one is asked for, pass the result
            through ``ops.stop_gradient``.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    return _draw_from(seed_source(seed), "gamma", tuple(shape), (alpha,), dtype)


def beta(
    shape: Sequence[Any], alpha: Any, beta: Any, dtype: Any = None, seed: Any = None
) -> Any:
    """Draws from beta distributions.

    Args:
        shape: The shape of the result.
        alpha: The first parameter, a number or a tensor that broadcasts to `shape`. No
            gradient flows to the parameters; see `gamma`.
        beta: The second parameter.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    return _draw_from(seed_source(seed), "beta", tuple(shape), (alpha, beta), dtype)


def binomial(
    shape: Sequence[Any],
    counts: Any,
    probabilities: Any,
    dtype: Any = None,
    seed: Any = None,
) -> Any:
    """Draws how often something happens in a number of trials.

    Args:
        shape: The shape of the result.
        counts: The numbers of trials, a number or a tensor that broadcasts to `shape`.
            The dtype must hold them: float32 does so up to 2**24.
        probabilities: The probabilities, in 0..1. No gradient flows to them; see
            `gamma`.
        dtype: A floating-point dtype; the default is ``config.floatx()``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    dtype = _float_dtype(dtype)
    parameters = (counts, probabilities)
    return _draw_from(seed_source(seed), "binomial", tuple(shape), parameters, dtype)


@op
def _categorical(source: Any, logits: Any, num_samples: int, dtype: str) -> Any:
    logits = ops.cast(logits, "float32")
    rows, classes = logits.shape
    shape = [rows, num_samples, classes]
    sample = tensor(ir_ops.random_uniform(_key(source), shape=shape))
    # The largest logit plus Gumbel noise is distributed as the softmax says.
    noise = -ops.log(-ops.log(sample + 1e-20) + 1e-20)
    return ops.cast(ops.argmax(ops.expand_dims(logits, 1) + noise, axis=-1), dtype)


def categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None
) -> Any:
    """Draws classes with the probabilities of the softmax of logits.

    Args:
        logits: (rows, classes).
        num_samples: How many classes to draw for each row.
        dtype: The dtype of the result, (rows, num_samples).
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    return _categorical(
        seed_source(seed), logits, num_samples, standardize_dtype(dtype)
    )


@op
def _dropout(source: Any, inputs: Any, rate: float, noise_shape: Any) -> Any:
    x = value(inputs)
    key = _key(source)
    if noise_shape is None:
        return tensor(ir_ops.dropout(x, key, rate=rate))
    sizes = x.type.shape[len(x.type.shape) - len(noise_shape) :]
    shape = [
        whole if size is None else size
        for size, whole in zip(noise_shape, sizes, strict=True)
    ]
    return tensor(ir_ops.dropout(x, key, rate=rate, noise_shape=shape))


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Sets a random fraction of a tensor to 0 and scales the rest up.

    Args:
        inputs: The tensor.
        rate: The fraction to drop, in 0..1.
        noise_shape: The shape of the mask, which broadcasts; the tensor's by default.
            None in it stands for the tensor's size.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    shape = None if noise_shape is None else tuple(noise_shape)
    return _dropout(seed_source(seed), inputs, rate, shape)


@op
def _shuffle(source: Any, x: Any, axis: int) -> Any:
    count = ops.shape(x)[axis]
    sample = tensor(ir_ops.random_bits(_key(source), shape=[count]))
    return ops.take(x, ops.argsort(sample), axis=axis)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """The slices of a tensor along an axis in random order.

    Args:
        x: The tensor.
        axis: The axis.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
    """
    return _shuffle(seed_source(seed), x, axis)
