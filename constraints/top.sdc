# The whole array, at 400 MHz. Units of the library: ns.
# Streams and the tap meet registers outside: a fifth of the cycle on each side. Reset is held for many
# cycles, and released in step with the clock by whoever drives it.
create_clock -name clk -period 2.5 [get_ports clk]
set inputs [get_ports {program__valid program__payload[*] results__ready}]
set_input_delay 0.5 -clock clk $inputs
set_input_transition 0.1 $inputs
set_output_delay 0.5 -clock clk [all_outputs]
set_input_delay 0 -clock clk [get_ports rst]
set_false_path -from [get_ports rst]
