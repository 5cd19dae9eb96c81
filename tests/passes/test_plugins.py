"""Passes, rules and ops of others, from files and from installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from graphc.ir import OPS, PassError, parse
from graphc.passes import PASSES, parse_pipeline, plugins, run
from graphc.passes.rule import RULE_SETS

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from graphc.ir import IllTyped, Kind, Sample
from graphc.ir.ops import add, multiply, negate
from graphc.ir.register import composite
from graphc.passes import GraphPass, RuleSet, pattern, register, register_rules

@register
@dataclass(frozen=True)
class Nothing(GraphPass):
    '''Does nothing.'''
    name: ClassVar[str] = "plugged_nothing"
    def run(self, graph, rewriter):
        return False

RULES = RuleSet([pattern("twice", lambda x: add(x, x), lambda x: multiply(x, 2))])

@composite(Kind.ELEMENTWISE, samples=[Sample(("f32[2]",))],
           errors=[IllTyped(("bool[2]",), "must be")])
def plugged_op(x):
    '''-x.'''
    return negate(x)
"""

TEXT = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = add(%x, %x) : f32[4]
      return %0
    }"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file with a pass, rules and an op; what it registers is forgotten afterwards."""
    (tmp_path / "plugged.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "plugged.py"
    sys.modules.pop("plugged", None)
    PASSES.pop("plugged_nothing", None)
    RULE_SETS.pop("twice", None)
    OPS.pop("plugged_op", None)


@pytest.fixture
def installed(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file as an installed package with entry points."""
    declared = [
        EntryPoint("plugged_nothing", "plugged:Nothing", "graphc.passes"),
        EntryPoint("plugged_lost", "plugged:RULES", "graphc.passes"),
        EntryPoint("twice", "plugged:RULES", "graphc.rules"),
        EntryPoint("damaged", "plugged:MISSING", "graphc.rules"),
        EntryPoint("plugged_op", "plugged", "graphc.ops"),
    ]
    monkeypatch.setattr(
        plugins, "entry_points", lambda **wanted: EntryPoints(declared).select(**wanted)
    )


def test_a_file_is_loaded_once_however_it_is_named(plugin: Path):
    module = plugins.load_module(str(plugin))
    assert plugins.load_module(str(plugin)) is module
    assert plugins.load_module("plugged") is module
    assert str(parse_pipeline("plugged_nothing")) == "plugged_nothing"


def test_a_file_may_have_the_name_of_another_module(tmp_path: Path):
    path = tmp_path / "json.py"
    path.write_text("HERE = True", encoding="utf-8")
    module = plugins.load_module(str(path))
    assert module.HERE
    assert plugins.load_module(str(path)) is module
    assert not hasattr(sys.modules["json"], "HERE")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere.py", "nowhere.py cannot be loaded: FileNotFoundError"),
        ("no_such_module", "no_such_module cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(source: str, said: str):
    with pytest.raises(PassError, match=said):
        plugins.load_module(source)


def test_a_file_that_fails_is_not_half_loaded(tmp_path: Path):
    path = tmp_path / "failing_plugin.py"
    path.write_text("1 / 0", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(PassError, match="ZeroDivisionError"):
            plugins.load_module(str(path))


@pytest.mark.usefixtures("installed")
def test_a_pipeline_finds_passes_and_rules_of_installed_packages():
    assert "plugged_nothing" not in PASSES
    result = run(parse(TEXT), "plugged_nothing,apply_rules{set=twice}")
    assert [node.op.name for node in result.nodes] == ["multiply"]


@pytest.mark.usefixtures("installed")
def test_declarations_must_be_true():
    with pytest.raises(PassError, match="declares the pass 'plugged_lost' but"):
        parse_pipeline("plugged_lost")
    with pytest.raises(PassError, match="'damaged' of an installed package cannot be"):
        parse_pipeline("apply_rules{set=damaged}")


@pytest.mark.usefixtures("installed")
def test_ops_are_loaded_when_asked_for_and_not_by_a_text():
    text = """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %0 = plugged_op(%x) : f32[4]
          return %0
        }"""
    with pytest.raises(Exception, match="unknown op 'plugged_op'"):
        parse(text)
    assert plugins.load_ops() == ["plugged_op"]
    assert len(parse(text)) == 1
