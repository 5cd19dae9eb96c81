"""Building layers: weights get the layer's path, whoever calls ``build``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from graphc.frontend.variables import autocast


def scoped(build: Callable[..., None]) -> Callable[..., None]:
    """A ``build`` method with weights named below the layer, which is then built."""

    @functools.wraps(build)
    def build_in_scope(self: Any, *arguments: Any, **keywords: Any) -> None:
        if self.__dict__.get("_building"):  # a subclass's build calls its base's
            build(self, *arguments, **keywords)
            return
        object.__setattr__(self, "_building", True)
        try:
            with self.build_scope(), autocast(None):
                build(self, *arguments, **keywords)
        finally:
            object.__setattr__(self, "_building", False)
        self.built = True

    return build_in_scope
