"""Programs to read, to run and to copy from; each runs for real and in simulation in tests/examples/."""
