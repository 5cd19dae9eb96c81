"""Attention, and its gradient in two pieces, as kernels.

The kernels follow FlashAttention 2 (Dao, 2023): a program holds a block of queries and
visits blocks of keys, or the other way round, and computes the softmax as they come, so
that no logits reach memory. Tensors are read as they lie, [batch, time, heads, depth].
What a program adds up is its own: results are the same in every run.
"""

from graphc.codegen.triton.attention.kernels import (
    TEMPLATES,
    attention_kernel,
    supports,
)

__all__ = ["TEMPLATES", "attention_kernel", "supports"]
