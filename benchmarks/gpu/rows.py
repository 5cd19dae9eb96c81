"""The rows: which cases they have, and what they are to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.gpu import (
    attention,
    bert,
    cross_entropy,
    gemm,
    gpt2,
    normalization,
    optimizer,
    resnet,
    small_models,
)
from benchmarks.gpu.cases import Case
from benchmarks.gpu.frameworks import EAGER, JAX, TUNED


@dataclass(frozen=True)
class Row:
    """A question of docs/gpu.md.

    Attributes:
        question: What is measured.
        cases: Makes the cases; takes whether they are to be tiny.
        goals: For a baseline the least ratio that is shipped, and the one aimed at.
        ceiling: The share of the ceiling that is aimed at: ``copy`` or ``gemm``.
    """

    question: str
    cases: Callable[[bool], Sequence[Case]]
    goals: Mapping[str, tuple[float | None, float]]
    ceiling: tuple[str, float] | None = None
    workspace: float | None = None
    notes: str = field(default="")


ROWS: dict[str, Row] = {
    "K1": Row(
        "GEMM bf16",
        gemm.products,
        {TUNED: (0.97, 1.00), JAX: (None, 1.00), EAGER: (None, 1.00)},
        ("gemm", 0.97),
    ),
    "K2": Row(
        "GEMM + bias + GELU, and its gradient",
        gemm.with_epilogues,
        {TUNED: (1.00, 1.08), JAX: (None, 1.15), EAGER: (None, 1.35)},
        ("gemm", 0.85),
    ),
    "K3": Row(
        "attention forward and backward",
        attention.cases,
        {TUNED: (0.95, 1.05), JAX: (None, 1.05), EAGER: (None, 1.15)},
    ),
    "K4": Row(
        "residual + LayerNorm and RMSNorm, forward and backward",
        normalization.cases,
        {TUNED: (0.97, 1.05), JAX: (None, 1.15), EAGER: (None, 2.0)},
        ("copy", 0.78),
    ),
    "K5": Row(
        "softmax and cross-entropy of given logits",
        cross_entropy.of_logits,
        {TUNED: (1.00, 1.20), JAX: (None, 1.2), EAGER: (None, 3.0)},
        ("copy", 0.85),
    ),
    "K6": Row(
        "linear layer + cross-entropy, forward and backward",
        cross_entropy.of_linear,
        {TUNED: (1.05, 1.20), JAX: (None, 1.3), EAGER: (None, 1.8)},
        ("gemm", 0.55),
        workspace=0.10,
    ),
    "K7": Row(
        "AdamW",
        optimizer.cases,
        {TUNED: (0.97, 1.05), JAX: (None, 1.1), EAGER: (None, 1.15)},
        ("copy", 0.88),
    ),
    "T1": Row(
        "GPT-2 124M, training step",
        gpt2.training,
        {TUNED: (1.00, 1.20), JAX: (None, 1.15), EAGER: (None, 2.0)},
        ("gemm", 0.51),
    ),
    "T3": Row(
        "ResNet-50, training step",
        resnet.training,
        {TUNED: (0.95, 1.05), JAX: (None, 1.05), EAGER: (None, 1.4)},
    ),
    "T4": Row(
        "small models, fit",
        small_models.training,
        {TUNED: (1.3, 2.0), JAX: (None, 1.5), EAGER: (None, 8.0)},
    ),
    "I1": Row(
        "ResNet-50, inference",
        resnet.inference,
        {TUNED: (1.00, 1.05), JAX: (None, 1.1), EAGER: (None, 2.0)},
    ),
    "I2": Row(
        "BERT-base, inference",
        bert.inference,
        {TUNED: (1.00, 1.05), JAX: (None, 1.1), EAGER: (None, 1.8)},
    ),
}
"""The rows by their names. Goals are ratios: a baseline's time over graphc's."""
