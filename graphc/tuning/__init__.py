"""Tuning: which pipeline a graph, and which schedule a kernel, is fastest with.

It stands above the runtime. A `Space` says what there is to choose from, a `Strategy` what
is tried next, a runner measures in a process of its own, `search` brings them together,
and `graphc.lock` keeps what was found.
"""
