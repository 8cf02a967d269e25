"""What the array does, without RTL: spikes, cycles, work, memory accesses, energy; one model a file."""
