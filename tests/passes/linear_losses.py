"""Programs with the cross-entropy of a linear layer's logits."""

from __future__ import annotations

LOSS = """
graph @loss(%x: f32[50,8], %w: f32[8,20], %b: f32[20], %y: i32[50])
    -> (f32[], f32[50,20]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[50,20]
  %1 = broadcast_in_dim(%b) {dims=[1], shape=[50,20]} : f32[50,20]
  %2 = add(%0, %1) : f32[50,20]
  %3 = cross_entropy(%2, %y) : f32[50]
  %4 = reduce_sum(%3) {axes=[0]} : f32[]
  %5 = divide(%4, 50.0) : f32[]
  return %5, %2
}
"""
STEP = (
    """
graph @step(%x: f32[50,8], %w: f32[8,20], %b: f32[20], %y: i32[50])
    -> (f32[], f32[50,8], f32[8,20], f32[20]) {
  %l, %a, %gx, %gw, %gb = value_and_gradient(%x, %w, %b, %y) {graph="loss", wrt=[0,1,2]}
    : f32[], f32[50,20], f32[50,8], f32[8,20], f32[20]
  return %l, %gx, %gw, %gb
}
"""
    + LOSS
)
"""A step that does not read the logits that its loss returns."""
