"""Fusion: decides what becomes one kernel, and outlines it."""

from graphc.passes.fusion.fusion import Fusion
from graphc.passes.fusion.report import FusionReport, fusion_report

__all__ = ["Fusion", "FusionReport", "fusion_report"]
