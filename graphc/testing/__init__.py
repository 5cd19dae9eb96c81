"""Checks of what others add: a pass, a rule, an op, each by what it says of itself.

They are what graphc's own tests are made of. Each raises an `AssertionError` that says
what is wrong.
"""

from graphc.testing.checks import check_op, check_pass, check_rule

__all__ = ["check_op", "check_pass", "check_rule"]
