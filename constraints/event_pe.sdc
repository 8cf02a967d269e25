# A PE of the event machine inside the array, at 400 MHz. Units of the library: ns.
# What the caster offers are registers of its, with buffers before 16 PEs: a fifth of the cycle. `accepts` answers
# in the same cycle, and `fire` is the answers of all PEs: late. Lanes and valids come through the loader from the
# program stream, which has a fifth of the cycle itself. The geometry comes through gates from the layer's descriptor: half
# of the cycle. The rest as in pe.sdc.
create_clock -name clk -period 2.5 [get_ports clk]
set inputs [get_ports {index[*] layer[*] layer_start layer_active cast[*] active loading
  output__ready counting capture shift chain_in[*]}]
set_input_delay 0.5 -clock clk $inputs
set derived [get_ports {geometry[*]}]
set_input_delay 1.3 -clock clk $derived
set stream [get_ports {header__valid header__payload[*] headers__valid headers__payload[*] values__valid
  values__payload[*]}]
set_input_delay 1.25 -clock clk $stream
set answer [get_ports {fire}]
set_input_delay 1.5 -clock clk $answer
set_input_transition 0.1 [all_inputs]
set_output_delay 0.5 -clock clk [all_outputs]
set_output_delay 1.25 -clock clk [get_ports {accepts header__ready headers__ready values__ready}]
set_input_delay 0 -clock clk [get_ports rst]
set_false_path -from [get_ports rst]
