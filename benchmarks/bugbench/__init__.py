"""bugbench: classic distributed bugs as small applications, each with its fixed twin, to judge the simulator by."""
