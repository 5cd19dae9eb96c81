"""Contestants that infer: the same weights and inputs in each framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.cases import Runner, Steps
from benchmarks.gpu.frameworks import (
    COMPILED,
    EAGER,
    JAX,
    OURS,
    TUNED,
    Options,
    compiled_by_torch,
    static,
    to_ours,
    to_torch,
    torch,
    wait_for_ours,
    wait_for_torch,
)
from benchmarks.gpu.functional import Jax, Torch

HALF = "float16"


class Inference:
    """The contestants for one model and input, in float16.

    Args:
        model: graphc's model.
        weights: Its weights by name.
        inputs: Its inputs.
        run: The model by layers of torch or jax: takes the layers, the weights, the
            inputs and the name of a dtype.
    """

    def __init__(
        self,
        model: Any,
        weights: Mapping[str, np.ndarray[Any, Any]],
        inputs: Sequence[np.ndarray[Any, Any]],
        run: Callable[..., Any],
    ) -> None:
        self.model = model
        self.weights = weights
        self.inputs = inputs
        self.run = run

    def steps(self, name: str, allowed: float) -> Steps:
        """The case."""
        return Steps(
            name,
            {
                OURS: self.ours,
                EAGER: lambda options: self.in_torch(EAGER),
                COMPILED: lambda options: self.in_torch(COMPILED),
                TUNED: lambda options: self.in_torch(TUNED),
                JAX: lambda options: self.in_jax(),
            },
            trains=False,
            allowed=allowed,
            exact=self.exact,
        )

    def exact(self) -> Any:
        """The outputs in float64, or in float32 where there is no torch."""
        if torch is None:
            weights = {k: jnp.asarray(w, jnp.float32) for k, w in self.weights.items()}
            placed = [jnp.asarray(x) for x in self.inputs]
            return np.asarray(self.run(Jax(), weights, *placed, "float32"))
        weights = {k: to_torch(w).double() for k, w in self.weights.items()}
        with torch.no_grad():
            return self.run(Torch(), weights, *map(to_torch, self.inputs), "float64")

    def ours(self, options: Options) -> Runner:
        """graphc's contestant."""
        self.model.compile(target=options.target)
        step = self.model.step("predict")
        placed = [to_ours(x, options) for x in self.inputs]
        batch = placed[0] if len(placed) == 1 else placed
        return Runner(lambda: step(batch), lambda: wait_for_ours(options))

    def in_torch(self, name: str) -> Runner:
        """A contestant of torch; the compiled ones capture CUDA graphs."""
        weights = {k: to_torch(w) for k, w in self.weights.items()}
        placed = [to_torch(x) for x in self.inputs]
        layers = Torch()
        if name == TUNED:
            static([*weights.values(), *placed])

        def call(*inputs: Any) -> Any:
            return self.run(layers, weights, *inputs, HALF)

        compiled = compiled_by_torch(call, name, whole=True)

        def step() -> Any:
            with torch.no_grad():
                return compiled(*placed)

        step()
        return Runner(step, wait_for_torch)

    def in_jax(self) -> Runner:
        """jax's contestant."""
        weights = {k: jnp.asarray(w) for k, w in self.weights.items()}
        placed = [jnp.asarray(x) for x in self.inputs]
        jitted = jax.jit(lambda weights, *x: self.run(Jax(), weights, *x, HALF))
        last: list[Any] = []

        def step() -> Any:
            last[:] = [jitted(weights, *placed)]
            return last[0]

        step()
        return Runner(step, lambda: jax.block_until_ready(last))
