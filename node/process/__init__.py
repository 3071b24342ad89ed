"""The processes of a node: its manager, its core processes, and how they are configured, started and spoken to."""
