"""Benchmarks on a GPU: graphc's Triton target beside torch and jax.

``python -m benchmarks.gpu --help``; docs/gpu.md says what each row means.
"""
