"""How fast is AdamW for all weights of a model in one go?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import graphc
from benchmarks.gpu.cases import Result, WrongError, rates, timed
from benchmarks.gpu.frameworks import (
    COMPILED,
    EAGER,
    JAX,
    OURS,
    TUNED,
    Options,
    captured,
    random_array,
    relative_error,
    to_ours,
    to_torch,
    torch,
    wait_for_ours,
    wait_for_torch,
)
from benchmarks.gpu.measure import Contestant
from benchmarks.gpu.training import (
    BETAS,
    DECAY,
    EPSILON,
    RATE,
    jax_adamw,
    torch_adamw,
)

Shapes = Sequence[tuple[int, ...]]


def decoder_shapes(vocabulary: int, width: int, blocks: int) -> list[tuple[int, ...]]:
    """The weights of a decoder: a table, then four matrices and vectors per block."""
    block = [
        *((width, 3 * width), (3 * width,), (width, width), (width,)),
        *((width, 4 * width), (4 * width,), (4 * width, width), (width,)),
        *((width,),) * 4,
    ]
    return [(vocabulary, width), *block * blocks]


def cases(tiny: bool) -> Sequence[Update]:
    """K7: the weights of GPT-2 124M, and a billion."""
    if tiny:
        return [Update("tiny", decoder_shapes(24, 8, 1))]
    return [
        Update("124M", decoder_shapes(50304, 768, 12)),
        Update("1B", decoder_shapes(50304, 2048, 18)),
    ]


@dataclass(frozen=True)
class Update:
    """An update of float32 weights, and their copies in bf16 for the next step.

    Attributes:
        name: What it is called.
        shapes: The shapes of the weights.
        flops: None that matter.
    """

    name: str
    shapes: Shapes
    flops: int = 0

    @property
    def bytes(self) -> int:
        """Bytes to move: the weight and two moments in and out, the gradient, a copy."""
        return sum(int(np.prod(shape)) for shape in self.shapes) * (3 * 8 + 4 + 2)

    def run(self, options: Options) -> Result:
        """Compares the weights after two updates with float64, then times updates."""
        rng = np.random.default_rng(0)
        weights = [random_array(rng, s, "float32") for s in self.shapes]
        gradients = [random_array(rng, s, "float32") for s in self.shapes]
        exact = [_exact(w, g) for w, g in zip(weights[:3], gradients[:3], strict=True)]
        made = {OURS: _ours(weights, gradients, options)}
        for name in (EAGER, COMPILED, TUNED):
            if options.wants(name):
                made[name] = _in_torch(weights, gradients, name)
        if options.wants(JAX):
            made[JAX] = _in_jax(weights, gradients)
        errors: dict[str, float] = {}
        for name, (_, found) in made.items():
            # What changed, not what is left of the weights: that would hide errors.
            pairs = zip(found, exact, weights, strict=False)
            errors[name] = max(
                relative_error(np.asarray(got, np.float64) - w, want - w)
                for got, want, w in pairs
            )
            if errors[name] > 1e-2:
                raise WrongError(f"{name}: relative error {errors[name]:.3g}")
        result = timed([contestant for contestant, _ in made.values()], options)
        for name, error in errors.items():
            result["contestants"][name]["error"] = error
        return result | rates(result, self)


Made = tuple[Contestant, Sequence[Any]]


def _ours(weights: Sequence[Any], gradients: Sequence[Any], options: Options) -> Made:
    variables = [graphc.Variable(w, name=f"w{n}") for n, w in enumerate(weights)]
    optimizer = graphc.optimizers.AdamW(
        RATE, weight_decay=DECAY, beta_1=BETAS[0], beta_2=BETAS[1], epsilon=EPSILON
    )
    optimizer.build(variables)

    def update(*gradients: Any) -> Any:
        optimizer.apply(gradients, variables)
        return [graphc.ops.cast(v.value, "bfloat16") for v in variables]

    specs = [graphc.TensorSpec(w.shape, "float32") for w in weights]
    executable = graphc.compile(update, *specs, target=options.target)
    program = executable.program
    placed = [to_ours(g, options) for g in gradients]

    def step() -> None:
        program(placed)

    step()
    step()
    found = [np.array(v.numpy()) for v in variables[:3]]
    return Contestant(OURS, step, lambda: wait_for_ours(options)), found


def _in_torch(weights: Sequence[Any], gradients: Sequence[Any], name: str) -> Made:
    parameters = [torch.nn.Parameter(to_torch(w)) for w in weights]
    copies = [torch.empty_like(p, dtype=torch.bfloat16) for p in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = to_torch(gradient)
    optimizer = torch_adamw(parameters)

    def update() -> None:
        optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(copies, parameters)

    if name != EAGER:
        mode = "max-autotune-no-cudagraphs" if name == TUNED else "default"
        update = torch.compile(update, dynamic=False, mode=mode)
    update()
    update()
    found = [p.detach().cpu().numpy().copy() for p in parameters[:3]]
    if name == EAGER:
        return Contestant(name, update, wait_for_torch), found
    run, note = captured(update, [()])
    return Contestant(name, run, wait_for_torch, note=note), found


def _in_jax(weights: Sequence[Any], gradients: Sequence[Any]) -> Made:
    def update(state: Any, number: Any, gradients: Any) -> Any:
        zipped = zip(state, gradients, strict=True)
        new = [jax_adamw(w, g, m, number + 1) for (w, m), g in zipped]
        return new, number + 1, [w.astype(jnp.bfloat16) for w, _ in new]

    jitted = jax.jit(update, donate_argnums=0)
    state: Any = [(jnp.asarray(w), jnp.zeros((2, *w.shape))) for w in weights]
    number: Any = jnp.zeros((), jnp.int32)
    placed = [jnp.asarray(g) for g in gradients]

    def step() -> None:
        nonlocal state, number
        state, number, _ = jitted(state, number, placed)

    step()
    step()
    found = [np.asarray(w) for w, _ in state[:3]]
    return Contestant(JAX, step, lambda: jax.block_until_ready(state)), found


def _exact(weight: Any, gradient: Any) -> Any:
    """The weight after two updates with the same gradient, in float64."""
    w, g = weight.astype(np.float64), gradient.astype(np.float64)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in (1, 2):
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g * g
        mean, square = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
        w = w - RATE * DECAY * w - RATE * mean / (np.sqrt(square) + EPSILON)
    return w
