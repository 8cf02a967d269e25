"""Proofs of what tests cannot exhaust, on the exported Verilog."""
