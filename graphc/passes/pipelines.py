"""The named pipelines, as data."""

from __future__ import annotations

from collections.abc import Sequence

SIMPLIFY = "(canonicalize,constant_folding,cse,dce)*"
SIMPLIFY_LATE = "(canonicalize{late=true},constant_folding,cse,dce)*"
FOLD = "canonicalize{late=true},fold_inference"

TRAIN = f"autodiff,inline,{SIMPLIFY}"
INFER = f"inline,{SIMPLIFY}"
# Not prune_results: jaxlib 0.10.2 crashes when it compiles some loops without a counter,
# and XLA removes what loops compute in vain by itself.
LOWER = f"fuse_linear_cross_entropy,{TRAIN},chunk_linear_cross_entropy,decompose,{FOLD}"
XLA = f"{LOWER},{SIMPLIFY_LATE}"

XLA_CPU = (
    f"{LOWER},batch_dots,convolution_as_sums,unroll_windows,convolution_as_dot,"
    f"flatten_stored,{SIMPLIFY_LATE}"
)

KEPT = (
    "attention",
    "attention_with_logsumexp",
    "attention_query_gradient",
    "attention_key_value_gradient",
    "philox",
)
"""The composites that Triton kernels have code of their own for."""

TRITON = (
    # Kernels of a chunk have a GPU to fill: chunks are larger than those in caches.
    f"fuse_linear_cross_entropy{{least_mib=512}},{TRAIN},"
    "chunk_linear_cross_entropy{chunk_mib=256,least_rows=1024,tile_rows=128},"
    f"split_attention,prune_results,decompose{{keep=[{','.join(KEPT)}]}},"
    f"{FOLD},{SIMPLIFY_LATE},batch_dots,merge_dots,"
    "outline_repeats,deduplicate,inline,"
    "gather_picked,split_dilation,split_contractions,split_reductions,"
    f"{SIMPLIFY_LATE},"
    "fusion,deduplicate"
)

PIPELINES: dict[str, str] = {
    "train": TRAIN,
    "infer": INFER,
    "xla": XLA,
    "xla:cpu": XLA_CPU,
    "triton": TRITON,
    "default": XLA,
}
"""Pipelines by name.

``train`` expands gradients and simplifies, ``infer`` is the same for graphs without
gradients; both leave composites whole. ``xla`` lowers everything that StableHLO needs
and fuses nothing, because XLA does; it is the default. ``xla:cpu`` goes on with what is
faster there as XLA compiles it for a CPU (docs/xla_cpu.md). ``triton`` ends with a graph
that calls a graph for each kernel.
"""


def preparing(pipeline: str, written: Sequence[str]) -> str:
    """A pipeline that prepares weights as well, before it makes kernels if it does.

    Args:
        pipeline: The pipeline, by name or as text.
        written: The names of state that each call replaces.
    """
    text = PIPELINES.get(pipeline, pipeline)
    options = f"{{written=[{','.join(written)}]}}" if written else ""
    step = f"prepare_weights{options}"
    head, fusion, tail = text.partition("fusion,")
    return f"{head}{step},{fusion}{tail}" if fusion else f"{text},{step}"
