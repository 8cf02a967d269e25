# Digilent Arty A7-100T (xc7a100tcsg324-1): the pins of synth/board.py.
# From the board's own constraints (github.com/Digilent/digilent-xdc, Arty-A7-100-Master.xdc).
set_property -dict {PACKAGE_PIN E3 IOSTANDARD LVCMOS33} [get_ports clk_in]
create_clock -name clk_in -period 10.000 [get_ports clk_in]

# BTN0: resets
set_property -dict {PACKAGE_PIN D9 IOSTANDARD LVCMOS33} [get_ports button]

# FT2232HQ: it sends on A9 (uart_txd_in) and receives on D10 (uart_rxd_out)
set_property -dict {PACKAGE_PIN A9 IOSTANDARD LVCMOS33} [get_ports rx]
set_property -dict {PACKAGE_PIN D10 IOSTANDARD LVCMOS33} [get_ports tx]

set_property -dict {PACKAGE_PIN H5 IOSTANDARD LVCMOS33} [get_ports {leds[0]}]
set_property -dict {PACKAGE_PIN J5 IOSTANDARD LVCMOS33} [get_ports {leds[1]}]
set_property -dict {PACKAGE_PIN T9 IOSTANDARD LVCMOS33} [get_ports {leds[2]}]
set_property -dict {PACKAGE_PIN T10 IOSTANDARD LVCMOS33} [get_ports {leds[3]}]

# Asynchronous to the clock, or nobody waits for them.
set_false_path -from [get_ports {button rx}]
set_false_path -to [get_ports {tx leds[*]}]
