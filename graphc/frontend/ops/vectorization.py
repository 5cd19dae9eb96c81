"""Functions of single elements made functions of tensors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from graphc.frontend import trees
from graphc.frontend.dispatch import op
from graphc.frontend.ops import arrangement
from graphc.frontend.ops.control_flow import vectorized_map
from graphc.frontend.ops.operands import broadcast_shape, read, refuse
from graphc.frontend.tracing import tensor
from graphc.ir.types import product

__all__ = ["vectorize"]


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function that applies `pyfunc` to each element of its broadcast arguments.

    Args:
        pyfunc: A function of tensors of rank 0, or of the ranks that `signature` says.
        excluded: Positions and names of arguments that are passed as they are.
        signature: The dimensions that one call takes and returns, as in
            ``"(m,n),(n)->(m)"``; those in front of them are broadcast.

    Returns:
        The function. Its results have the broadcast dimensions in front of what
        `pyfunc` returns.

    Raises:
        GraphError: For a malformed signature, when called.

    Example:
        >>> import graphc
        >>> dot = graphc.ops.vectorize(graphc.ops.dot, signature="(n),(n)->()")
        >>> dot([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0]).tolist()
        [3.0, 7.0]
    """
    left_out = frozenset(excluded or ())

    @functools.wraps(pyfunc)
    def vectorized(*arguments: Any, **keywords: Any) -> Any:
        return _for_each(pyfunc, left_out, signature, arguments, keywords)

    return vectorized


@op
def _for_each(
    pyfunc: Callable[..., Any],
    excluded: frozenset[int | str],
    signature: str | None,
    arguments: Sequence[Any],
    keywords: dict[str, Any],
) -> Any:
    named: dict[int | str, Any] = {**dict(enumerate(arguments)), **keywords}
    given = {key: tensor(read(x)) for key, x in named.items() if key not in excluded}
    ranks = _core_ranks(signature, len(given))
    cores = [x.shape[x.ndim - r :] for x, r in zip(given.values(), ranks, strict=True)]
    loop = broadcast_shape(
        (),
        *(x.shape[: x.ndim - r] for x, r in zip(given.values(), ranks, strict=True)),
    )
    count = product(loop)
    rows = {
        key: arrangement.reshape(
            arrangement.broadcast_to(x, (*loop, *core)), (count, *core)
        )
        for (key, x), core in zip(given.items(), cores, strict=True)
    }

    def one(row: dict[int | str, Any]) -> Any:
        filled = {**named, **row}
        positional = [filled[i] for i in range(len(arguments))]
        return pyfunc(*positional, **{key: filled[key] for key in keywords})

    found = vectorized_map(one, rows)
    return trees.map_leaves(
        lambda x: arrangement.reshape(x, (*loop, *x.shape[1:])), found
    )


def _core_ranks(signature: str | None, count: int) -> list[int]:
    """How many dimensions of each argument one call takes."""
    if signature is None:
        return [0] * count
    takes, arrow, _ = signature.replace(" ", "").partition("->")
    groups = re.findall(r"\(([\w,]*)\)", takes)
    if not arrow or ",".join(f"({g})" for g in groups) != takes or len(groups) != count:
        refuse(
            f"Expected a signature of {count} arguments, such as '(m,n),(n)->(m)'. "
            f"Received: signature={signature!r}"
        )
    return [len(group.split(",")) if group else 0 for group in groups]
