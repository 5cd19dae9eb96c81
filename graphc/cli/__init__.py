"""The command line: ``graphc demo``, ``show``, ``opt``, ``run`` and ``doctor``."""
