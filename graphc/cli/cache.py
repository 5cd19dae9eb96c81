"""``graphc cache``: what was compiled and is kept on disk."""

from __future__ import annotations

from collections import Counter

import click

from graphc.cli.text import printable
from graphc.files.store import Store
from graphc.ir.errors import GraphcError
from graphc.runtime.settings import Settings


@click.group()
def cache() -> None:
    """Look at, check or empty the cache of what was compiled.

    GRAPHC_CACHE names its directory, GRAPHC_CACHE=off turns it off, and
    GRAPHC_CACHE_LIMIT says how many MiB it may take.
    """


@cache.command()
def info() -> None:
    """Show where the cache is and what is in it."""
    store = _store()
    click.echo(f"directory  {printable(str(store.directory))}")
    click.echo(f"limit      {store.limit / 2**20:,.0f} MiB")
    if reason := store.problem():
        click.echo(f"not used   {reason}")
        return
    count, size = Counter[str](), Counter[str]()
    for entry in store.entries():
        count[entry.kind] += 1
        size[entry.kind] += entry.size
    for kind in sorted(count):
        click.echo(f"{kind:10} {count[kind]:,} entries, {_mib(size[kind])}")
    click.echo(f"{'in all':10} {count.total():,} entries, {_mib(size.total())}")


@cache.command()
def verify() -> int:
    """Remove damaged entries; exit code 1 if there were any."""
    intact, removed = _store().verify()
    damaged = f"{removed:,} were damaged and are removed" if removed else "none damaged"
    click.echo(f"{intact:,} entries are intact, {damaged}")
    return 1 if removed else 0


@cache.command()
def clear() -> None:
    """Remove all entries."""
    count, size = _store().clear()
    click.echo(f"removed {count:,} entries, {_mib(size)}")


def _store() -> Store:
    store = Settings.read().store()
    if store is None:
        raise GraphcError("the cache is off", hint="unset GRAPHC_CACHE=off")
    return store


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
