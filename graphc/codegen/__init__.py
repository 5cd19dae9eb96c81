"""Code generation: bound graphs of primitives as the text that backends compile."""
