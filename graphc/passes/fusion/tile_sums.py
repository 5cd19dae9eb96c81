"""Sums of the rows of a tile, which the kernel that makes the tile can compute as well.

The gradient of a bias and the statistics of a batch norm are sums over the rows of what
a dot or convolution makes. `split_reductions` has made two reductions of such a sum: of
64 rows each, and of their results. The first one needs nothing but the tile that is at
hand, so no program waits for another, and the second one reads little.
"""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.passes.coordinates import UNKNOWN
from graphc.passes.fusion.group import Group, axes_of
from graphc.passes.fusion.network import AGAIN, Network
from graphc.passes.fusion.roles import Role
from graphc.passes.matrices import TILE_ROWS, Sides, sides


def no_sums(network: Network, maker: Group, reader: Group) -> str:
    """Why the kernel of a contraction cannot reduce what `reader` does; empty if it can.

    Args:
        network: The groups.
        maker: The group of the contraction.
        reader: A group of reductions that reads what `maker` makes.
    """
    reductions = [node for node in reader.members if network.role(node) is Role.ROW]
    matrix = _matrix(maker)
    if matrix is None or not all(_reduces_tiles(node, matrix) for node in reductions):
        return "a reduction does not follow a dot in its kernel"
    if not matrix.has_tiles:
        return "the product is too small to be computed in tiles"
    if any(result in reader.reads for node in reductions for result in node.results):
        return "what is computed from a sum would wait for other tiles"
    others = [node for node in reader.members if node not in reductions]
    unknown = any(
        at is None or not {UNKNOWN, AGAIN}.isdisjoint(axes_of(at))
        for places in reader.reads.values()
        for at in places
    )
    if unknown or any(network.role(node) is not Role.POINTWISE for node in others):
        return "the epilogue would read elements at other places"
    return ""


def _matrix(maker: Group) -> Sides | None:
    """The matrix of floats that the only contraction of a group makes."""
    anchors = [node for node in maker.members if node.op.kind is Kind.CONTRACTION]
    if len(anchors) != 1 or not anchors[0].results[0].type.dtype.is_float:
        return None
    return sides(anchors[0])


def _reduces_tiles(node: Node, matrix: Sides) -> bool:
    """Whether a reduction is one of 64 rows of a matrix each."""
    if node.op.kind is not Kind.REDUCTION or node.attributes.get("axes") != [1]:
        return False
    shape = node.operands[0].type.static_shape
    tiles, left = divmod(matrix.rows, TILE_ROWS)
    return not left and shape == (tiles, TILE_ROWS, matrix.columns)
