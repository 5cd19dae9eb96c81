"""What does equality saturation find that the greedy driver does not?

    python benchmarks/egraph.py

For each graph in `benchmarks/graphs`, after the passes of the XLA pipeline: the nodes and
the cost by a roofline model before and after `saturate`, first with rules that keep bits
and then with those that reassociate, and the CPU seconds that it takes. The greedy driver has
applied all rules that it has, with the same classes of numerics, until none fires.
"""

import time

from graphs.make import graphs

from graphc.passes import run
from graphc.passes.cost_model import GPUS, Roofline

MODEL = Roofline(GPUS["H200"])
CLASSES = {
    "exact": ("canonicalize{late=true}", "saturate{late=true,allow=[]}"),
    "reassociates": (
        "canonicalize{late=true,allow=[reassociates]}",
        "saturate{late=true}",
    ),
}


def main() -> None:
    """Prints a row for each graph and class."""
    print(f"{'':24}{'rules':>14}{'nodes':>14}{'model us':>20}{'saved':>8}{'CPU s':>8}")
    for name, graph in graphs().items():
        lowered = run(graph, "xla")
        for title, (greedy_rules, saturation) in CLASSES.items():
            greedy = run(lowered, f"({greedy_rules},constant_folding,cse,dce)*")
            pipeline = f"{saturation},({greedy_rules},constant_folding,cse,dce)*"
            start = time.process_time()
            found = run(greedy, pipeline)
            seconds = time.process_time() - start
            before, after = MODEL.seconds(greedy) * 1e6, MODEL.seconds(found) * 1e6
            print(
                f"{name:24}{title:>14}{len(greedy):7}{len(found):7}"
                f"{before:10.2f}{after:10.2f}{1 - after / before:8.1%}"
                f"{seconds:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
