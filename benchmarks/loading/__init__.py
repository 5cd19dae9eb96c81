"""The same models as files of several runtimes, each loaded in processes of its own."""
