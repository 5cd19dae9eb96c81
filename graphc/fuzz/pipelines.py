"""Pipelines for random programs: their passes rewrite what is small, too."""

from __future__ import annotations

from graphc.passes.chunk_linear_cross_entropy import ChunkLinearCrossEntropy
from graphc.passes.convolution_as_dot import ConvolutionAsDot
from graphc.passes.fuse_linear_cross_entropy import FuseLinearCrossEntropy
from graphc.passes.graph_pass import Pass
from graphc.passes.pipeline_parser import Fixpoint, Pipeline, parse_pipeline
from graphc.passes.precision import Precision
from graphc.passes.repeated_blocks import OutlineRepeats
from graphc.passes.split_attention import SplitAttention
from graphc.passes.split_contractions import SplitContractions
from graphc.passes.split_dilation import SplitDilation
from graphc.passes.split_reductions import SplitReductions

EAGER: dict[str, Pass] = {
    each.name: each
    for each in (
        ChunkLinearCrossEntropy(chunk_mib=1e-4, least_rows=1),
        ConvolutionAsDot(terms_per_row=0, most_places=1024),
        FuseLinearCrossEntropy(least_mib=0.0),
        OutlineRepeats(min_nodes=3, min_count=2),
        Precision(least_reuse=0),
        SplitAttention(least_keys=1),
        SplitContractions(least_terms=4),
        SplitDilation(least_products=1),
        SplitReductions(programs=4, work=4),
    )
}
"""The passes that leave alone what is small, with options by which they do not."""

RECOMPUTED = "xla,rematerialize{level=contractions,segments=2},(cse,dce)*"
"""A pipeline that computes as much as it can again for the backward part."""

NARROW = (
    "precision{compute=bf16,least_reuse=0},xla",
    "precision{compute=bf16,least_reuse=0,mixed=false},xla",
    "precision{compute=f16,least_reuse=0,mixed=false},xla",
    "autodiff,inline,precision{compute=f8e4m3fn,least_reuse=0},xla",
    "autodiff,inline,precision{compute=f8e5m2,least_reuse=0},xla",
)
"""Pipelines that compute wherever they can in a narrower float."""


def eager(text: str) -> str:
    """A pipeline with the passes that `EAGER` has instead of its own.

    Example:
        >>> eager("split_reductions,dce")
        'split_reductions{work=4,programs=4},dce'
    """
    return str(_eager(parse_pipeline(text)))


def _eager(pipeline: Pipeline) -> Pipeline:
    return Pipeline(
        tuple(
            Fixpoint(_eager(stage.body))
            if isinstance(stage, Fixpoint)
            else EAGER.get(stage.name, stage)
            for stage in pipeline.stages
        )
    )
