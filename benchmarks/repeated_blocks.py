"""Are equal blocks best inlined, called or looped over, when XLA compiles for a CPU?

    GRAPHC_CACHE=off taskset -c 0 python -m benchmarks.repeated_blocks [BLOCKS]

A stack of equal transformer blocks, forward and with gradients, compiled in three forms:
inlined; as calls of one function (`outline_repeats`); and as a counted loop over stacked
weights (`ops.scan`). The loop gets its weights stacked, as a model would have to keep
them, and "stacking" is the loop that stacks them in each call. Compiles and runs are
interleaved, results compared before anything is timed. Times are of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

import graphc
from benchmarks.timing import interleaved, ratios
from graphc import ops
from graphc.ir import Graph
from graphc.passes.pipelines import SIMPLIFY_LATE, XLA_CPU
from graphc.runtime.compile import compile_graph

INLINED, CALLED, SCANNED, STACKED = "inlined", "called", "scanned", "stacking"
FORMS = (INLINED, CALLED, SCANNED, STACKED)
CALLS = f"{XLA_CPU},outline_repeats,deduplicate,inline,{SIMPLIFY_LATE}"
WIDTH, HEADS, TOKENS, BATCH = 64, 4, 32, 4
SHAPES = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))


def block(x: Any, qkv: Any, out: Any, up: Any, down: Any) -> Any:
    """A transformer block without biases."""
    split = ops.reshape(_normal(x) @ qkv, (BATCH, TOKENS, 3, HEADS, WIDTH // HEADS))
    q, k, v = (split[:, :, i] for i in range(3))
    y = ops.dot_product_attention(q, k, v, is_causal=True)
    x = x + ops.reshape(y, (BATCH, TOKENS, WIDTH)) @ out
    return x + ops.gelu(_normal(x) @ up) @ down


def _normal(x: Any) -> Any:
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    return centered * ops.rsqrt(ops.mean(centered * centered, -1, True) + 1e-5)


def unrolled(x: Any, *weights: Any) -> Any:
    """The mean square of the output, block after block."""
    for start in range(0, len(weights), len(SHAPES)):
        x = block(x, *weights[start : start + len(SHAPES)])
    return ops.mean(x * x)


def looped(x: Any, *stacks: Any) -> Any:
    """The same as a loop over stacked weights."""
    x, _ = ops.scan(lambda x, weights: (block(x, *weights), None), x, stacks)
    return ops.mean(x * x)


def stacking(x: Any, *weights: Any) -> Any:
    """The same as a loop that stacks the weights first."""
    every = range(len(SHAPES))
    return looped(x, *(ops.stack(weights[i :: len(SHAPES)]) for i in every))


def forms(blocks: int, training: bool) -> dict[str, tuple[Graph, str]]:
    """The graph and the pipeline of each form."""
    x = graphc.TensorSpec((BATCH, TOKENS, WIDTH))
    apart = [graphc.TensorSpec(shape) for shape in SHAPES * blocks]
    stacks = [graphc.TensorSpec((blocks, *shape)) for shape in SHAPES]

    def traced(function: Callable[..., Any], weights: Sequence[Any]) -> Graph:
        wrt = tuple(range(1, 1 + len(weights)))
        if training:
            function = graphc.value_and_grad(function, argnums=wrt)
        return graphc.trace(function, x, *weights)

    whole = traced(unrolled, apart)
    return {
        INLINED: (whole, XLA_CPU),
        CALLED: (whole, CALLS),
        SCANNED: (traced(looped, stacks), XLA_CPU),
        STACKED: (traced(stacking, apart), XLA_CPU),
    }


def measured(blocks: int, training: bool, rounds: int = 3) -> None:
    """Prints compile times and ratios of run times."""
    made = forms(blocks, training)
    compiles = {
        name: partial(compile_graph, graph, "xla", passes)
        for name, (graph, passes) in made.items()
    }
    seconds = interleaved(compiles, rounds, 1, time.process_time)
    rng = np.random.default_rng(0)
    x = jax.numpy.asarray(rng.normal(size=(BATCH, TOKENS, WIDTH)), "float32")
    apart = [
        jax.numpy.asarray(rng.normal(0, shape[0] ** -0.5, shape), "float32")
        for shape in SHAPES * blocks
    ]
    stacks = [jax.numpy.stack(apart[i :: len(SHAPES)]) for i in range(len(SHAPES))]
    runs: dict[str, Callable[[], Any]] = {}
    losses: list[float] = []
    for name, compiled in compiles.items():
        run = partial(
            _finished, compiled(), [x, *(stacks if name == SCANNED else apart)]
        )
        losses.append(run())
        runs[name] = run
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    times = interleaved(runs, 15, 3, time.process_time)
    found, compile_ratios = ratios(times, INLINED), ratios(seconds, INLINED)
    for name in FORMS:
        print(
            f"{name:10} {np.median(seconds[name]):10.2f} {compile_ratios[name]:8.2f}"
            f" {np.median(times[name]) * 1e3:10.2f} {found[name]:8.2f}",
            flush=True,
        )


def _finished(program: Any, arrays: Any) -> float:
    results = program(*arrays)
    return float(np.asarray(results[0]))


def main(blocks: int = 24) -> None:
    """Prints a table for inference and one for gradients."""
    for training in (False, True):
        kind = "loss and gradients" if training else "loss"
        print(f"{blocks} blocks, {kind}")
        print(f"{'':10} {'compile s':>10} {'ratio':>8} {'run ms':>10} {'ratio':>8}")
        measured(blocks, training)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
