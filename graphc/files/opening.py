"""Opening files of unknown origin to read them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from graphc.ir.errors import LoadError


class UnreadableFileError(LoadError, OSError):
    """The system does not let a file be read: it is missing, no file, or not allowed."""

    def __init__(self, path: str, error: OSError | str) -> None:
        reason = error if isinstance(error, str) else error.strerror or str(error)
        LoadError.__init__(self, f"cannot read {path!a}: {reason}")
        if isinstance(error, OSError):
            self.errno, self.strerror, self.filename = error.errno, error.strerror, path


class MissingFileError(UnreadableFileError, FileNotFoundError):
    """There is no file of that name."""


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A regular file, opened to be read; what fails while it is open names it.

    Raises:
        UnreadableFileError: If it is missing, not allowed, or no regular file.
        LoadError: What the body raises, with the file's name in front.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        # Opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise MissingFileError(path, error) from error
    except OSError as error:
        raise UnreadableFileError(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableFileError(path, str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFileError(path, "not a regular file")
    with io.FileIO(descriptor, "rb", closefd=True) as file:
        try:
            yield file  # type: ignore[misc]
        except LoadError as error:
            shown = path if path.isprintable() else ascii(path)
            error.message = f"{shown}: {error.message}"
            raise
        except OSError as error:
            raise UnreadableFileError(path, error) from error
