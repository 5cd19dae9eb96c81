"""Files that a crash or a stranger may have damaged: containers, tensors, JSON."""
