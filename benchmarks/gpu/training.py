"""Contestants that train: the same weights, batches and optimizers in each framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import frameworks
from benchmarks.gpu.cases import Runner
from benchmarks.gpu.frameworks import (
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

Arrays = Mapping[str, np.ndarray[Any, Any]]
Loss = Callable[..., Any]


def weights_of(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The weights of one of graphc's models by layer and role, such as ``qkv_0/kernel``."""
    return {
        "/".join(weight.path.split("/")[-2:]): np.array(weight.numpy())
        for weight in model.weights
        if not weight.path.startswith("seed")
    }


class OurTraining:
    """Training steps of a compiled model; each returns the mean loss so far."""

    def __init__(
        self,
        model: Any,
        batches: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
        options: Options,
    ) -> None:
        self.step = model.step("train_step")
        self.batches = [
            tuple(to_ours(array, options) for array in batch) for batch in batches
        ]
        self.count = 0

    def __call__(self) -> Any:
        """One step."""
        batch = self.batches[self.count % len(self.batches)]
        self.count += 1
        return self.step(batch)["loss"]

    def memory(self) -> int | None:
        """The bytes that a step takes, known beforehand."""
        (program,) = self.step.programs.values()
        memory = program.executables[-1].memory()
        return None if memory is None else memory.peak


def our_runner(model: Any, batches: Sequence[Any], options: Options) -> Runner:
    """graphc's contestant."""
    step = OurTraining(model, batches, options)
    waits = partial(wait_for_ours, options)
    return Runner(step, waits, memory=step.memory, running=True)


def torch_runner(
    loss: Loss,
    weights: Arrays,
    batches: Sequence[Any],
    optimizer: Callable[[Sequence[Any]], Any],
    name: str,
) -> Runner:
    """A contestant of torch.

    Args:
        loss: Takes the weights by name and a batch; returns the loss.
        weights: The first weights, float32; those of statistics are not trained.
        batches: What to train on, in turns.
        optimizer: Makes the optimizer of parameters.
        name: The contestant, which says how to compile.
    """
    peak = peak_of_torch()
    parameters = {key: to_torch(array) for key, array in weights.items()}
    trained = [p.requires_grad_() for key, p in parameters.items() if is_trained(key)]
    placed = [[to_torch(array) for array in batch] for batch in batches]
    if name == TUNED:
        static(parameters.values())
    update = optimizer(trained)
    compiled = compiled_by_torch(loss, name, whole=True)
    count = 0

    def step() -> Any:
        nonlocal count
        if name == TUNED:
            torch.compiler.cudagraph_mark_step_begin()
        found = compiled(parameters, *placed[count % len(placed)])
        found.backward()
        update.step()
        update.zero_grad(set_to_none=True)
        count += 1
        return found.detach().clone()

    return Runner(step, wait_for_torch, memory=peak)


def peak_of_torch() -> Callable[[], int | None]:
    """What says how much memory torch has allocated at most since now, besides others."""
    if not torch.cuda.is_available():
        return lambda: None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return lambda: torch.cuda.max_memory_allocated() - before


def jax_runner(
    loss: Loss,
    weights: Arrays,
    batches: Sequence[Any],
    update: Callable[..., tuple[Any, Any]],
) -> Runner:
    """The contestant of jax: one donated, jitted function.

    Args:
        loss: Takes the weights by name and a batch; returns the loss and statistics
            that replace weights.
        weights: The first weights.
        batches: What to train on, in turns.
        update: Takes a weight, its gradient, its moments and the number of the step;
            returns the new weight and moments.
    """
    trained = {k: jnp.asarray(w) for k, w in weights.items() if is_trained(k)}
    others = {k: jnp.asarray(w) for k, w in weights.items() if not is_trained(k)}
    zeros = {k: jnp.zeros((2, *w.shape), w.dtype) for k, w in trained.items()}
    placed = [[jnp.asarray(array) for array in batch] for batch in batches]

    def step(state: Any, batch: Sequence[Any]) -> tuple[Any, Any]:
        trained, others, moments, number = state

        def of(trained: Any) -> Any:
            return loss({**trained, **others}, *batch)

        (value, changed), gradients = jax.value_and_grad(of, has_aux=True)(trained)
        number = number + 1
        updated = {
            key: update(weight, gradients[key], moments[key], number)
            for key, weight in trained.items()
        }
        trained = {key: weight for key, (weight, _) in updated.items()}
        moments = {key: moment for key, (_, moment) in updated.items()}
        return value, (trained, {**others, **changed}, moments, number)

    jitted = jax.jit(step, donate_argnums=0)
    state: Any = (trained, others, zeros, jnp.zeros((), jnp.int32))
    count = 0

    def run() -> Any:
        nonlocal state, count
        value, state = jitted(state, placed[count % len(placed)])
        count += 1
        return value

    return Runner(run, lambda: jax.block_until_ready(state))


def is_trained(name: str) -> bool:
    """Whether a weight is changed by the optimizer; statistics are not."""
    return "moving" not in name


# -- optimizers ----------------------------------------------------------------------------

RATE, DECAY, BETAS, EPSILON = 3e-4, 0.1, (0.9, 0.999), 1e-8


def torch_adamw(parameters: Sequence[Any]) -> Any:
    """AdamW in one kernel, where there is a GPU."""
    return torch.optim.AdamW(
        parameters,
        lr=RATE,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=DECAY,
        fused=frameworks.torch_device() == "cuda",
    )


def jax_adamw(w: Any, g: Any, moments: Any, number: Any) -> tuple[Any, Any]:
    """The same, from its definition (Loshchilov and Hutter, 2019)."""
    g = g.astype(jnp.float32)
    m = moments[0] + (1 - BETAS[0]) * (g - moments[0])
    v = moments[1] + (1 - BETAS[1]) * (g * g - moments[1])
    t = number.astype(jnp.float32)
    mean, square = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
    w = w - RATE * DECAY * w - RATE * mean / (jnp.sqrt(square) + EPSILON)
    return w, jnp.stack([m, v])


SPEED, MOMENTUM = 0.01, 0.9


def torch_sgd(parameters: Sequence[Any]) -> Any:
    """Gradient descent with momentum."""
    return torch.optim.SGD(
        parameters,
        lr=SPEED,
        momentum=MOMENTUM,
        fused=frameworks.torch_device() == "cuda",
    )


def jax_sgd(w: Any, g: Any, moments: Any, number: Any) -> tuple[Any, Any]:
    """The same."""
    m = MOMENTUM * moments[0] + g.astype(jnp.float32)
    return w - SPEED * m, moments.at[0].set(m)
