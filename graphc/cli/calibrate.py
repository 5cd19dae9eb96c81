"""``graphc calibrate``: how fast a target is, for cost models."""

from __future__ import annotations

import click

from graphc.runtime.calibration import calibrate as measure
from graphc.runtime.calibration import write_rates


@click.command()
@click.option("--target", default="xla", show_default=True, help="What to measure.")
def calibrate(target: str) -> None:
    """Measure a target's bandwidth and arithmetic; keep them for cost models.

    The rates are kept in the cache directory (GRAPHC_CACHE).
    """
    rates = measure(target)
    path = write_rates(target, rates)
    click.echo(
        f"{rates.name}: {rates.bandwidth / 1e9:.1f} GB/s,"
        f" {rates.single / 1e9:.1f} GFLOP/s in float32,"
        f" {rates.narrow / 1e9:.1f} in bfloat16,"
        f" {rates.launch * 1e6:.1f} us for any program"
    )
    click.echo(f"written to {path}")
