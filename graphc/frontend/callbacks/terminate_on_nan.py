"""`TerminateOnNaN`: ends training when the loss is no number any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.progress import print_message

__all__ = ["TerminateOnNaN"]


_ADVICE = "model.find_nonfinite(x, y) tells which operation of a step made it."


class TerminateOnNaN(Callback):
    """Stops training when the loss is NaN or infinite.

    It looks at the mean loss of the epoch so far, which stays so once one step's loss
    was: seeing it some steps later is enough.

    Args:
        raise_error: Whether to raise an error instead of ending training in order.

    Raises:
        RuntimeError: In training with ``raise_error=True``.
    """

    once_per_block = True

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"Expected a finite loss. Received: loss={loss} at batch {batch}."
                f" {_ADVICE}"
            )
        print_message(f"Batch {batch}: Invalid loss, terminating training. {_ADVICE}")
        self.model.stop_training = True
