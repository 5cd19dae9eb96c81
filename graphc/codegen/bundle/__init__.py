"""C programs that run launch plans: text for a C compiler, without graphc and Python."""

from graphc.codegen.bundle.records import Array, Bundle, Code, Program, Symbol
from graphc.codegen.bundle.writing import bundle_files

__all__ = ["Array", "Bundle", "Code", "Program", "Symbol", "bundle_files"]
