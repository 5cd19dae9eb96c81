"""Rewriting graphs: passes, rules, pipelines and the manager that runs them."""

from __future__ import annotations

import os

from graphc.ir.graph import Graph, check_graph
from graphc.passes import (
    autodiff,
    cse,
    dce,
    decompose,
    deduplicate,
    fusion,
    inline,
)
from graphc.passes.apply_rules import ApplyRules
from graphc.passes.batch_dots import BatchDots
from graphc.passes.canonicalize import Canonicalize
from graphc.passes.chunk_linear_cross_entropy import ChunkLinearCrossEntropy
from graphc.passes.constant_folding import ConstantFolding
from graphc.passes.convolution_as_dot import ConvolutionAsDot
from graphc.passes.convolution_as_sums import ConvolutionAsSums
from graphc.passes.flatten_stored import FlattenStored
from graphc.passes.fold_inference import FoldInference
from graphc.passes.fuse_linear_cross_entropy import FuseLinearCrossEntropy
from graphc.passes.gather_picked import GatherPicked
from graphc.passes.graph_diff import GraphDiff
from graphc.passes.graph_pass import PASSES, GraphPass, ModulePass, Pass, register
from graphc.passes.layout import Layout
from graphc.passes.ledger import Ledger, Refusal, Rewrite
from graphc.passes.merge_dots import MergeDots
from graphc.passes.pass_manager import PassManager, PassRun, Report, Watch
from graphc.passes.pattern import pattern
from graphc.passes.pipeline_parser import Pipeline, parse_pipeline
from graphc.passes.pipelines import PIPELINES
from graphc.passes.precision import Precision
from graphc.passes.prepare_weights import PrepareWeights
from graphc.passes.prune_results import PruneResults
from graphc.passes.rematerialize import Rematerialize
from graphc.passes.repeated_blocks import OutlineRepeats
from graphc.passes.rewrite import Rewriter
from graphc.passes.rule import Rule, RuleSet, register_rules
from graphc.passes.split_attention import SplitAttention
from graphc.passes.split_contractions import SplitContractions
from graphc.passes.split_dilation import SplitDilation
from graphc.passes.split_reductions import SplitReductions
from graphc.passes.unroll_windows import UnrollWindows

__all__ = [
    "PASSES",
    "PIPELINES",
    "ApplyRules",
    "BatchDots",
    "Canonicalize",
    "ChunkLinearCrossEntropy",
    "ConstantFolding",
    "ConvolutionAsDot",
    "ConvolutionAsSums",
    "FlattenStored",
    "FoldInference",
    "FuseLinearCrossEntropy",
    "GatherPicked",
    "GraphDiff",
    "GraphPass",
    "Layout",
    "Ledger",
    "MergeDots",
    "ModulePass",
    "OutlineRepeats",
    "Pass",
    "PassManager",
    "PassRun",
    "Pipeline",
    "Precision",
    "PrepareWeights",
    "PruneResults",
    "Refusal",
    "Rematerialize",
    "Report",
    "Rewrite",
    "Rewriter",
    "Rule",
    "RuleSet",
    "SplitAttention",
    "SplitContractions",
    "SplitDilation",
    "SplitReductions",
    "UnrollWindows",
    "Watch",
    "autodiff",
    "cse",
    "dce",
    "decompose",
    "deduplicate",
    "fusion",
    "inline",
    "parse_pipeline",
    "pattern",
    "register",
    "register_rules",
    "run",
    "run_with_report",
]


def run(
    graph: Graph,
    pipeline: Pipeline | str = "default",
    *,
    verify: bool | None = None,
    dump_dir: str | os.PathLike[str] | None = None,
    stop_after: str | int | None = None,
    bisect: int | None = None,
    check: bool | str | None = None,
    watch: Watch | None = None,
) -> Graph:
    """A copy of `graph`, with everything it calls, after the passes of `pipeline`.

    Args:
        graph: The graph; it stays as it is.
        pipeline: The name of a pipeline or its text, such as
            ``"autodiff,(canonicalize,cse)*,dce"``.
        verify: Whether to verify before the first and after each pass;
            ``GRAPHC_VERIFY=1`` unless given.
        dump_dir: A directory for numbered texts of the graph after each pass.
        stop_after: A pass after whose first run to stop, or a number of runs.
        bisect: The number of the last optional rewrite; ``GRAPHC_OPT_BISECT=N``
            unless given.
        check: Whether to compare what the graph means before and after each pass;
            ``GRAPHC_CHECK=1`` unless given. ``"numerics"`` runs it on samples, too.
        watch: Called with the graph before the first pass, and with each run of a pass
            and the graph after it.

    Returns:
        The rewritten copy, alone in its module with what it calls and reads.

    Raises:
        GraphError: If `graph` does not verify to begin with.
        PassError: If the pipeline's text is none, or a pass fails, or a check finds
            that it changes what the graph means; names the pass.
    """
    return run_with_report(
        graph,
        pipeline,
        verify=verify,
        dump_dir=dump_dir,
        stop_after=stop_after,
        bisect=bisect,
        check=check,
        watch=watch,
    )[0]


def run_with_report(
    graph: Graph,
    pipeline: Pipeline | str = "default",
    *,
    verify: bool | None = None,
    dump_dir: str | os.PathLike[str] | None = None,
    stop_after: str | int | None = None,
    bisect: int | None = None,
    check: bool | str | None = None,
    watch: Watch | None = None,
) -> tuple[Graph, Report]:
    """As `run`, with a report of the passes' times, node counts and rewrites."""
    check_graph(graph, "passes.run")
    manager = PassManager(
        pipeline,
        verify=verify,
        dump_dir=dump_dir,
        stop_after=stop_after,
        bisect=bisect,
        check=check,
        watch=watch,
    )
    result = graph.copy()
    return result, manager.run(result)
