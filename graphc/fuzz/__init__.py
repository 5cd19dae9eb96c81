"""Random programs, checks of the whole compiler on them, reduction of what fails."""

from graphc.fuzz.checks import CHECKS, QUICK, Failure, find_failure, find_xla_failures
from graphc.fuzz.choices import Choices, SeededChoices
from graphc.fuzz.findings import (
    Finding,
    find_failures,
    reduce_finding,
    write_reproducer,
)
from graphc.fuzz.generator import generate, random_program
from graphc.fuzz.inputs import inputs
from graphc.fuzz.reduce import reduce_graph

__all__ = [
    "CHECKS",
    "QUICK",
    "Choices",
    "Failure",
    "Finding",
    "SeededChoices",
    "find_failure",
    "find_failures",
    "find_xla_failures",
    "generate",
    "inputs",
    "random_program",
    "reduce_finding",
    "reduce_graph",
    "write_reproducer",
]
