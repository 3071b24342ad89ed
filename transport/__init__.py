"""Bytes between cores: the port, the wire, sessions with credit, ZeroMQ and its simulated twin."""
