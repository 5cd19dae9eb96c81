"""How each op becomes part of a program of kernels; what `graphc ops` lists."""

from __future__ import annotations

from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.triton.attention import TEMPLATES
from graphc.codegen.triton.bodies import PULLS
from graphc.codegen.triton.elementwise import FORMS
from graphc.codegen.triton.ordering import ORDERED
from graphc.codegen.triton.planning import LOWERINGS
from graphc.ir.opdef import OpDef, Trait


def triton_form(op: OpDef) -> str | None:
    """How kernels compute an op, in a word.

    Returns:
        ``spelling`` for one expression in every dtype, ``expression`` for one that
        depends on the dtype, ``index`` for arithmetic on indices, ``lowering`` for
        lines of its own, ``kernel`` for a kernel of its own, ``plan`` for steps of the
        launch plan, ``host`` for an effect, ``decomposes`` for a composite; ``none:``
        and the reason for what is declined; None if nothing serves it.
    """
    tables = (
        ("kernel", op in TEMPLATES or op.name in ORDERED),
        ("spelling", op.name in SPELLINGS and SPELLINGS[op.name].triton is not None),
        ("expression", op.name in FORMS),
        ("index", op.read_index is not None),
        ("lowering", op.name in PULLS),
        ("plan", op.name in LOWERINGS),
        ("host", Trait.EFFECT in op.traits),
        ("decomposes", op.is_composite),
        (f"none: {op.no_kernel}", bool(op.no_kernel)),
    )
    return next((form for form, holds in tables if holds), None)
