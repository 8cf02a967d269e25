# The whole chip on AXI, at 400 MHz. Units of the library: ns.
# Its buses meet registers outside: a fifth of the cycle on each side.
create_clock -name clk -period 2.5 [get_ports clk]
set inputs [get_ports {s_axil_awaddr[*] s_axil_awvalid s_axil_wdata[*] s_axil_wstrb[*] s_axil_wvalid s_axil_bready
  s_axil_araddr[*] s_axil_arvalid s_axil_rready s_axil_awprot[*] s_axil_arprot[*]
  s_axis_tdata[*] s_axis_tlast s_axis_tvalid m_axis_tready}]
set_input_delay 0.5 -clock clk $inputs
set_input_transition 0.1 $inputs
set_output_delay 0.5 -clock clk [all_outputs]
set_input_delay 0 -clock clk [get_ports rst]
set_false_path -from [get_ports rst]
