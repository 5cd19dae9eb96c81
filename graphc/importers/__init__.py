"""Programs of other frameworks as graphs, a file or folder for each format.

Each one imports the package it reads with, and nothing else of the framework does.
"""
