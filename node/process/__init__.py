"""The operating-system side of a node: manager, core processes, configuration."""
