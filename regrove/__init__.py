"""regrove: isolates under supervisors, bounded messages, simulation. The public door: what applications import."""
