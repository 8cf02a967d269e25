"""From the RTL to gates: area, timing and power on a standard-cell library, and FPGA builds."""
