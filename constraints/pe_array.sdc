# The array without the loader, the APU and the sequencer, at 400 MHz. Units of the library: ns.
# Those are registers outside: a fifth of the cycle on each side.
create_clock -name clk -period 2.5 [get_ports clk]
set inputs [get_ports {header[*] header_valid[*] weights[*] weights_valid[*] row_valid row[*] layer[*] layer_start
  layer_active result_room counting capture shift}]
set_input_delay 0.5 -clock clk $inputs
set_input_transition 0.1 $inputs
set_output_delay 0.5 -clock clk [all_outputs]
set_input_delay 0 -clock clk [get_ports rst]
set_false_path -from [get_ports rst]
