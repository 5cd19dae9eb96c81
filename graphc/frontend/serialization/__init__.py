"""Models as data: file formats, configs, and the graphs of code that has no config."""
