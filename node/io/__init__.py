"""The edge of a core: sockets, files and worker threads as effects."""
