"""Every wrong rewrite is caught by the check of numerics, which names it."""

import pytest

from graphc.ir import PassError
from graphc.passes import PassManager, Pipeline, Rule
from graphc.passes.pattern import traced
from tests.passes.wrong_rewrites import WRONG, OneWrong


def test_there_are_fifty():
    names = [rule.name for rule in WRONG.rules]
    assert len(names) == len(set(names)) >= 50


@pytest.mark.parametrize("rule", [pytest.param(r, id=r.name) for r in WRONG.rules])
def test_a_wrong_rewrite_is_caught_and_named(rule: Rule):
    (example,) = rule.examples
    (graph,) = traced(example)
    manager = PassManager(Pipeline((OneWrong(rule),)), check="numerics")
    with pytest.raises(PassError, match="changes what @example means") as caught:
        manager.run(graph)
    (root,) = rule.roots
    rewrite = str(caught.value.received)
    assert f"one_wrong/{rule.name} in @example: {root}(" in rewrite
