"""Everything that runs: cores, their edges, processes, the cluster, the simulator."""
