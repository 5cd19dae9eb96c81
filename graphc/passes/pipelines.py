"""The named pipelines, as data."""

from __future__ import annotations

SIMPLIFY = "(canonicalize,constant_folding,cse,dce)*"
SIMPLIFY_LATE = "(canonicalize{late=true},constant_folding,cse,dce)*"

TRAIN = f"autodiff,inline,{SIMPLIFY}"
INFER = f"inline,{SIMPLIFY}"
XLA = f"{TRAIN},decompose,{SIMPLIFY_LATE}"

PIPELINES: dict[str, str] = {
    "train": TRAIN,
    "infer": INFER,
    "xla": XLA,
    "default": XLA,
}
"""Pipelines by name.

``train`` expands gradients and simplifies, ``infer`` is the same for graphs without
gradients; both leave composites whole. ``xla`` lowers everything that StableHLO needs
and fuses nothing, because XLA does; it is the default.
"""
