# A PE inside the array, at 400 MHz. Units of the library: ns.
# Its neighbours (registers of the window reader, queues of headers) take a fifth of the cycle on each
# side. `layer` and `geometry` are registers that change only while no PE runs, `index` a constant.
create_clock -name clk -period 2.5 [get_ports clk]
set inputs [get_ports {weights__valid weights__payload[*] header__valid header__payload[*]
  index[*] layer[*] layer_start layer_active geometry[*] request__ready window_valid window[*]
  output__ready release counting capture shift chain_in[*]}]
set_input_delay 0.5 -clock clk $inputs
set_input_transition 0.1 $inputs
set_output_delay 0.5 -clock clk [all_outputs]
set_input_delay 0 -clock clk [get_ports rst]
set_false_path -from [get_ports rst]
