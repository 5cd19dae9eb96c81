"""The space of pipelines: optional passes on or off, their options, precision, blocks.

What options of a pass are worth trying stands in the pass (`Pass.tuned`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.ir.printer import program_text
from graphc.passes import Pass, Pipeline, parse_pipeline, run
from graphc.passes.graph_pass import Option
from graphc.passes.pipeline_parser import Fixpoint
from graphc.passes.precision import policy_text
from graphc.runtime.ablation import optional_passes
from graphc.tuning.space import Axis, Choice, Space

ON, OFF = "on", "off"
PRECISION, STEPS = "precision", "steps"
"""The names of the axes that are no passes."""

FLOAT32 = "float32"
"""The policy that changes nothing."""


@dataclass(frozen=True, slots=True)
class PipelineSpace:
    """The pipelines that a graph may be compiled with.

    Attributes:
        pipeline: The pipeline that the choices vary.
        space: The choices.
        precision: The policy where that is no choice.
    """

    pipeline: Pipeline
    space: Space
    precision: str = FLOAT32

    def pipeline_of(self, choice: Choice) -> str:
        """The text of the pipeline that a choice stands for, with its precision."""
        chosen = self._named(choice)
        varied = str(_varied(self.pipeline, chosen))
        policy = policy_text(chosen.get(PRECISION, self.precision))
        return ",".join(filter(None, [policy, varied]))

    def program_of(self, choice: Choice) -> dict[str, Any]:
        """What a worker needs to know of a choice."""
        chosen = self._named(choice)
        return {
            "pipeline": str(_varied(self.pipeline, chosen)),
            "precision": chosen.get(PRECISION, self.precision),
            "steps": int(chosen.get(STEPS, "1")),
        }

    def _named(self, choice: Choice) -> dict[str, str]:
        names = (axis.name for axis in self.space.axes)
        return dict(zip(names, choice, strict=True))


def pipeline_space(
    pipeline: str,
    precisions: Sequence[str] = (FLOAT32,),
    steps: Sequence[int] = (1,),
) -> PipelineSpace:
    """All variants of a pipeline.

    Args:
        pipeline: Its text.
        precisions: The precision policies that results may be computed by, the usual
            one first: what others compute differs by more than rounding in float32.
        steps: How many steps one dispatch may run, the usual number first.

    Raises:
        PassError: If the text is no pipeline, or a policy is unknown.
    """
    whole = parse_pipeline(pipeline)
    axes = [
        Axis(name, (ON, OFF, *_settings(whole, name)))
        for name in optional_passes(whole)
    ]
    for policy in precisions:
        policy_text(policy)
    if len(precisions) > 1:
        axes.append(Axis(PRECISION, tuple(precisions)))
    if len(steps) > 1:
        axes.append(Axis(STEPS, tuple(map(str, steps))))
    return PipelineSpace(whole, Space(tuple(axes)), precisions[0])


def relevant(of: PipelineSpace, graph: Graph) -> PipelineSpace:
    """The space without what, alone, changes nothing in the program of a graph.

    Of values that make the same program the first is kept: two runs then choose the
    same one. Values that make the graph fail to lower are left out, too.
    """
    space = of.space
    usual = _lowered(of, space.canonical, graph)
    axes: list[Axis] = []
    for place, axis in enumerate(space.axes):
        if axis.name in (PRECISION, STEPS):
            axes.append(axis)
            continue
        kept, known = [axis.values[0]], {None, usual}
        for value in axis.values[1:]:
            choice = list(space.canonical)
            choice[place] = value
            text = _lowered(of, tuple(choice), graph)
            if text not in known:
                kept.append(value)
                known.add(text)
        if len(kept) > 1:
            axes.append(Axis(axis.name, tuple(kept)))
    return replace(of, space=Space(tuple(axes)))


def _lowered(of: PipelineSpace, choice: Choice, graph: Graph) -> str | None:
    """The text of the graph after a choice's passes, None if they fail."""
    try:
        return program_text(run(graph, of.pipeline_of(choice)))
    except GraphcError:
        return None


def _settings(pipeline: Pipeline, name: str) -> list[str]:
    """The values of options that the pass of this name declares."""
    found: dict[str, None] = {}
    for each in pipeline.passes():
        if each.name != name:
            continue
        for option, values in each.tuned.items():
            for value in values:
                if value != getattr(each, option):
                    found[f"{option}={_spelled(value)}"] = None
    return list(found)


def _spelled(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _varied(pipeline: Pipeline, chosen: Mapping[str, str]) -> Pipeline:
    """The pipeline with passes left out, or with another option."""
    stages: list[Pass | Fixpoint] = []
    for stage in pipeline.stages:
        if isinstance(stage, Fixpoint):
            body = _varied(stage.body, chosen)
            if body.stages:
                stages.append(Fixpoint(body))
            continue
        value = chosen.get(stage.name, ON)
        if stage.required or value == ON:
            stages.append(stage)
        elif value != OFF:
            stages.append(_with(stage, value))
    return Pipeline(tuple(stages))


def _with(each: Pass, setting: str) -> Pass:
    """A pass with one option set to one of the values that it declares."""
    name, _, text = setting.partition("=")
    (value,) = [v for v in each.tuned[name] if _spelled(v) == text]
    return replace(each, **{name: value})  # type: ignore[type-var]
