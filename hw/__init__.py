"""The PE array in Amaranth; exports Verilog. Knows nothing of `sw` or `sim`."""
