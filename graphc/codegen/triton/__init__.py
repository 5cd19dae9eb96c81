"""Kernel graphs as Triton source, and the plan by which their kernels are launched."""

from __future__ import annotations
