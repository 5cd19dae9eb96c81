"""Artifacts: programs compiled ahead of time, in files that run where graphc runs."""

from graphc.artifacts.contract import Contract
from graphc.artifacts.loading import Artifact, load

__all__ = ["Artifact", "Contract", "load"]
