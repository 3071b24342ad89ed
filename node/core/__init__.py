"""One deterministic core: no clock, socket, thread or randomness is read in here."""
