"""Testbenches: one file a component, run by pytest, each simulation by cocotb on Verilator."""
