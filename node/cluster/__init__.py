"""Which nodes, cores, names and groups exist: pure tables that the manager (and the simulator) feed."""
