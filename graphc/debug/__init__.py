"""Finding out why a compile does what it does: which rewrite is to blame."""

from graphc.debug.blame import SYMPTOMS, Blame, blame
from graphc.debug.reproducer import Reproducer

__all__ = ["SYMPTOMS", "Blame", "Reproducer", "blame"]
