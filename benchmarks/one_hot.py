"""What do products with one-hot operands gain as gathers?

    taskset -c 0 python -m benchmarks.one_hot

Rows of a table are picked by a one-hot product, compiled as it is and by the rule that
makes a gather of it. Results must be equal before anything is timed. Times are of the
processor.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.timing import interleaved, ratios
from graphc.ir import Graph, parse
from graphc.runtime.compile import compile_graph

PRODUCT, GATHER = "product", "gather"
SIZES = (
    (1024, 4, 64),
    (1024, 16, 64),
    (1024, 64, 64),
    (1024, 1024, 64),
    (32, 1000, 256),
)


def picked(count: int, depth: int, width: int) -> Graph:
    """Rows of a table by a one-hot product."""
    return parse(f"""
        graph @f(%i: i32[{count}], %w: f32[{depth},{width}]) -> (f32[{count},{width}]) {{
          %o = one_hot(%i) {{depth={depth}, dtype="f32"}} : f32[{count},{depth}]
          %y = dot_general(%o, %w) {{contract=[[1],[0]]}} : f32[{count},{width}]
          return %y
        }}""")


def _call(program: Any, arrays: list[Any]) -> Any:
    return np.asarray(program(*arrays)[0])


def main() -> None:
    """Prints a line for each size."""
    draw = np.random.default_rng(0)
    for count, depth, width in SIZES:
        graph = picked(count, depth, width)
        indices = draw.integers(-1, depth + 1, count).astype(np.int32)
        table = draw.normal(size=(depth, width)).astype(np.float32)
        arrays = [jax.device_put(array) for array in (indices, table)]
        runs = {
            # Once it is decomposed nothing is known of the one-hot operand.
            PRODUCT: partial(_call, compile_graph(graph, pipeline="decompose"), arrays),
            GATHER: partial(_call, compile_graph(graph), arrays),
        }
        np.testing.assert_array_equal(*[run() for run in runs.values()])
        ratio = ratios(interleaved(runs, 25, 5, time.process_time), PRODUCT)[GATHER]
        print(f"{count} of {depth} rows of {width}: {ratio:.2f}")


if __name__ == "__main__":
    main()
