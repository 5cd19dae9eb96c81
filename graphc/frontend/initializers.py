"""Initializers: where the first value of a variable comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from graphc.frontend.arguments import one_of
from graphc.frontend.dtypes import is_float, standardize_dtype
from graphc.frontend.initial_values import Draw, Recipe, draw
from graphc.frontend.naming import snake_case
from graphc.frontend.random import SeedGenerator
from graphc.frontend.registry import Registry
from graphc.frontend.seeds import next_draw
from graphc.frontend.tensor import Array
from graphc.ir import TensorType
from graphc.ir import dtype as ir_dtype

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "Recipe",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of a standard normal truncated at two of its own."""

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


class Initializer:
    """Base of initializers: a callable from a shape and a dtype to a tensor.

    Override `__call__` and, for arguments of your own, `get_config`.

    Example:
        >>> import graphc
        >>> class Twos(graphc.initializers.Initializer):
        ...     def __call__(self, shape, dtype=None):
        ...         return graphc.ops.full(shape, 2.0, dtype=dtype)
        >>> graphc.Variable(Twos(), shape=(2,)).numpy()
        array([2., 2.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """The initial value.

        Args:
            shape: The shape of the variable.
            dtype: Its dtype; None stands for `config.floatx()`.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal initializer from."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The initializer that `get_config` described."""
        return cls(**config)

    def clone(self) -> Self:
        """A new initializer with the same configuration."""
        return self.from_config(self.get_config())


class RecipeInitializer(Initializer):
    """Base of initializers whose values follow a `Recipe`.

    The recipes of all variables of a model are turned into one program, so that a
    model's first values cost one compile.

    Args:
        seed: An integer, which makes every call give the same values; a
            `SeedGenerator`, which makes every call give new ones; or None: values
            follow from the global seed and, for a variable, from its path.
    """

    def __init__(self, seed: int | SeedGenerator | None = None) -> None:
        if isinstance(seed, dict):
            seed = SeedGenerator.from_config(seed["config"])
        integer = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        if not (seed is None or integer or isinstance(seed, SeedGenerator)):
            raise ValueError(
                "`seed` must be an integer, a SeedGenerator or None. "
                f"Received: seed={seed!r}"
            )
        self.seed = seed
        self._path: str | None = None

    def recipe(self, shape: Sequence[int]) -> Recipe:
        """How values of `shape` are made."""
        distribution, offset, scale = self._distribution(tuple(shape))
        return Recipe(distribution, offset, scale, self._draw_seed())

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        """The distribution for `shape`, what is added and what it is scaled by."""
        raise NotImplementedError

    def _draw_seed(self) -> int | None:
        if isinstance(self.seed, SeedGenerator):
            low, high = np.asarray(self.seed.next(), np.uint32)[:2]
            return int(low) | int(high) << 32
        return None if self.seed is None else int(self.seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """The initial value.

        Args:
            shape: The shape of the variable.
            dtype: Its dtype; None stands for `config.floatx()`.

        Raises:
            ValueError: If values are random and the dtype is not floating point.
        """
        name = standardize_dtype(dtype)
        recipe = self.recipe(shape)
        if recipe.distribution != "constant" and not is_float(name):
            raise ValueError(
                f"{type(self).__name__} draws floating-point values. Expected a "
                f"floating-point dtype. Received: dtype={name}"
            )
        if self._path is None:  # unseeded: the same values in every call
            self._path = next_draw(f"initializers/{type(self).__name__}")
        type_ = TensorType(tuple(shape), ir_dtype(name))
        return Array(draw([Draw(type_, recipe, self._path)])[0])

    def get_config(self) -> dict[str, Any]:
        seed = self.seed
        if isinstance(seed, SeedGenerator):
            return {"seed": _SEEDS.serialize(seed)}
        return {"seed": seed if seed is None else int(seed)}


class Zeros(RecipeInitializer):
    """Zeros.

    Example:
        >>> import graphc
        >>> graphc.initializers.Zeros()((2,)).numpy()
        array([0., 0.], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__()

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        return "constant", 0.0, 0.0

    def get_config(self) -> dict[str, Any]:
        return {}


class Ones(RecipeInitializer):
    """Ones."""

    def __init__(self) -> None:
        super().__init__()

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        return "constant", 1.0, 0.0

    def get_config(self) -> dict[str, Any]:
        return {}


class Constant(Initializer):
    """The same number everywhere, or an array that broadcasts to the shape.

    Args:
        value: A number, or an array.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        kind = ir_dtype(standardize_dtype(dtype)).numpy
        full = np.broadcast_to(np.asarray(self.value).astype(kind), tuple(shape))
        return Array(full.copy())

    def get_config(self) -> dict[str, Any]:
        value = self.value
        return {"value": value.tolist() if hasattr(value, "tolist") else value}


class RandomNormal(RecipeInitializer):
    """A normal distribution.

    Args:
        mean: Its mean.
        stddev: Its standard deviation.
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None
    ) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        return "normal", self.mean, self.stddev

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """A normal distribution without what lies beyond two standard deviations.

    Args:
        mean: The mean.
        stddev: The standard deviation before truncation.
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
    """

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        return "truncated_normal", self.mean, self.stddev


class RandomUniform(RecipeInitializer):
    """A uniform distribution.

    Args:
        minval: The smallest value.
        maxval: The bound that values stay below.
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        return "uniform", self.minval, self.maxval - self.minval

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RecipeInitializer):
    """A distribution whose variance is ``scale / n``, so that signals keep their size.

    Args:
        scale: A positive number.
        mode: What ``n`` is: ``"fan_in"``, ``"fan_out"``, or ``"fan_avg"``, their mean.
        distribution: ``"truncated_normal"``, ``"untruncated_normal"`` or
            ``"uniform"``, which is within ``sqrt(3 * scale / n)`` of 0.
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes whose sizes make up fan-in. With both lists of axes left
            out, kernels have the layout ``(*window, inputs, outputs)``.
        output_axes: The axes whose sizes make up fan-out.

    Raises:
        ValueError: If `scale` is not positive, or for an unknown mode or distribution.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(f"`scale` must be positive. Received: scale={scale}")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        self.scale = scale
        self.mode = one_of("mode", mode, MODES)
        self.distribution = one_of("distribution", distribution, DISTRIBUTIONS)
        self.input_axes = input_axes
        self.output_axes = output_axes

    def _distribution(self, shape: tuple[int, ...]) -> tuple[str, float, float]:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        average = (fan_in + fan_out) / 2
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": average}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return "uniform", -limit, 2.0 * limit
        if self.distribution == "untruncated_normal":
            return "normal", 0.0, math.sqrt(variance)
        return "truncated_normal", 0.0, math.sqrt(variance) / TRUNCATED_STDDEV

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """Base of those with a name of their own, whose config has only the seed and axes."""

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_NamedScaling):
    """Glorot's (Xavier's) uniform initializer: within ``sqrt(6 / (fan_in + fan_out))``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(_NamedScaling):
    """Glorot's (Xavier's) truncated normal: variance ``2 / (fan_in + fan_out)``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(
            1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes
        )


class LecunUniform(_NamedScaling):
    """LeCun's uniform initializer: within ``sqrt(3 / fan_in)``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(_NamedScaling):
    """LeCun's truncated normal: variance ``1 / fan_in``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(
            1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes
        )


class HeUniform(_NamedScaling):
    """He's uniform initializer: within ``sqrt(6 / fan_in)``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(_NamedScaling):
    """He's truncated normal: variance ``2 / fan_in``.

    Args:
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
        input_axes: The axes of fan-in; see `VarianceScaling`.
        output_axes: The axes of fan-out.
    """

    def __init__(
        self, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        super().__init__(
            2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes
        )


class Orthogonal(Initializer):
    """A matrix whose shorter side's vectors are orthonormal, times `gain`.

    The matrix has the shape's last size as columns and all others as rows. It is
    computed on the host when the variable gets its value.

    Args:
        gain: What the matrix is multiplied by.
        seed: An integer, a `SeedGenerator` or None; see `RecipeInitializer`.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        self._normal = RandomNormal(0.0, 1.0, seed)
        self.seed = self._normal.seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """The initial value.

        Args:
            shape: The shape of the variable, of rank 2 or more.
            dtype: Its dtype; None stands for `config.floatx()`.

        Raises:
            ValueError: If the rank is below 2.
        """
        if len(shape) < 2:
            raise ValueError(
                "Orthogonal needs a shape of at least two dimensions. "
                f"Received: shape={tuple(shape)} of rank {len(shape)}"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        normal = self._normal(tall, dtype="float32").numpy()
        q, r = np.linalg.qr(normal.astype(np.float64))
        q = q * np.sign(np.diagonal(r))  # makes the distribution uniform
        made = (q if rows >= columns else q.T) * self.gain
        kind = ir_dtype(standardize_dtype(dtype)).numpy
        return Array(made.reshape(tuple(shape)).astype(kind))

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._normal.get_config()["seed"], "gain": self.gain}


class Identity(Initializer):
    """The identity matrix, times `gain`.

    Args:
        gain: What the matrix is multiplied by.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Array:
        """The initial value.

        Args:
            shape: The shape of the variable, of rank 2.
            dtype: Its dtype; None stands for `config.floatx()`.

        Raises:
            ValueError: If the rank is not 2.
        """
        if len(shape) != 2:
            raise ValueError(
                "Identity needs a shape of two dimensions. "
                f"Received: shape={tuple(shape)} of rank {len(shape)}"
            )
        kind = ir_dtype(standardize_dtype(dtype)).numpy
        return Array((np.eye(shape[0], shape[1]) * self.gain).astype(kind))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


OrthogonalInitializer = Orthogonal
IdentityInitializer = Identity


def fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs an output of a kernel sees, and how many outputs an input feeds.

    Args:
        shape: The kernel's shape.
        input_axes: The axes whose sizes make up the first; used if both are given.
        output_axes: The axes whose sizes make up the second.
    """
    if input_axes is not None and output_axes is not None:
        return (
            math.prod(shape[axis] for axis in input_axes),
            math.prod(shape[axis] for axis in output_axes),
        )
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


_SEEDS = Registry("seed generator", "keras.random")
_SEEDS.add(SeedGenerator)
_REGISTRY = Registry("initializer", "keras.initializers", snake_case)

# Keras's second names.
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

_REGISTRY.add(
    *(Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Identity),
    *(LecunNormal, LecunUniform, Ones, Orthogonal, RandomNormal, RandomUniform),
    *(TruncatedNormal, VarianceScaling, Zeros),
    IdentityInitializer=Identity,
    OrthogonalInitializer=Orthogonal,
    normal=RandomNormal,
    one=Ones,
    uniform=RandomUniform,
    zero=Zeros,
)


def get(identifier: Any) -> Any:
    """The initializer that `identifier` stands for.

    Args:
        identifier: A name such as ``"glorot_uniform"``, a config, a class, an
            initializer or another callable ``(shape, dtype)``, an array, or None.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    if isinstance(identifier, (np.ndarray, Array)):
        return Constant(identifier)
    return _REGISTRY.get(identifier)


def serialize(initializer: Any) -> Any:
    """The config of an initializer, which `deserialize` reads."""
    return _REGISTRY.serialize(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The initializer that a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find classes of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    return _REGISTRY.deserialize(config, custom_objects)
