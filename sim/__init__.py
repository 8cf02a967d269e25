"""Models of the array: workload, golden, cycles, energy; and the `uticket` command."""
