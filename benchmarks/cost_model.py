"""How well do cost models order the nodes of graphs that they have not seen?

    taskset -c 0 python benchmarks/cost_model.py --most 250

Measures nodes of the graphs in `benchmarks/graphs`, each compiled and run by itself, and
holds graph after graph out: the learned model is fitted to the nodes of the others (those
that the held-out graph has as well are left out) and predicts those. Reported is Spearman's
rank correlation with the measured times, and the median of the larger over the smaller of
prediction and time.
"""

import argparse
import statistics
from pathlib import Path

from graphs.make import MODELS, graphs

from graphc.passes import run
from graphc.passes.cost_model import Roofline
from graphc.passes.learned_cost import fit, rank_correlation, write_measurements
from graphc.runtime.calibration import calibrate, measure_nodes
from graphc.runtime.targets import find_target


def measured(target, most):
    """The measured nodes of each model, those that another model has too with the first."""
    pipeline = find_target(target).pipeline
    found, seen = {}, set()
    for name in MODELS:
        lowered = [
            run(g, pipeline) for key, g in graphs().items() if key.startswith(name)
        ]
        rows = []
        for node, measurement in measure_nodes(lowered, target, most=most):
            if measurement.features not in seen:
                seen.add(measurement.features)
                rows.append((node, measurement))
        found[name] = rows
        print(f"measured {len(rows)} nodes of {name}", flush=True)
    return found


def off_by(found, expected):
    return statistics.median(
        max(f / e, e / f) for f, e in zip(found, expected, strict=True)
    )


def main() -> None:
    """Measures and prints a row for each held-out model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", default="xla")
    parser.add_argument("--most", type=int, default=50, help="nodes of each model")
    parser.add_argument("--write", type=Path, help="keep the measurements in a table")
    given = parser.parse_args()
    rates = calibrate(given.target)
    print(rates)
    by_model = measured(given.target, given.most)
    if given.write:
        rows = [m for rows in by_model.values() for _, m in rows]
        write_measurements(given.write, rows)
    roofline = Roofline(rates)
    print(f"{'held out':14}{'nodes':>6}{'roofline':>20}{'learned':>20}")
    print(f"{'':20}{'rank':>10}{'off by':>10}{'rank':>10}{'off by':>10}")
    for name, rows in by_model.items():
        others = [m for n, r in by_model.items() if n != name for _, m in r]
        times = [m.seconds for _, m in rows]
        cells = []
        for model in (roofline, fit(others)):
            found = [model.node_seconds(node) for node, _ in rows]
            cells += [rank_correlation(found, times), off_by(found, times)]
        print(f"{name:14}{len(rows):6}" + "".join(f"{cell:10.2f}" for cell in cells))


if __name__ == "__main__":
    main()
