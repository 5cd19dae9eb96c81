"""The ``graphc`` command, which is also ``python -m graphc``."""

import os
import signal
from typing import NoReturn

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells count it."""


def _leave(*_: object) -> NoReturn:
    """Ends a process that has nothing to tidy up yet."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


# Importing takes long enough to be interrupted. An exception would be printed with
# where it was, or lost in what some package does while it is imported.
_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
try:
    from graphc.cli.main import main
finally:
    signal.signal(signal.SIGINT, _before)

if __name__ == "__main__":
    main()
