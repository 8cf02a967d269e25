# OpenROAD-flow-scripts, Nangate 45 nm: one PE at 400 MHz, its scratchpad as a black box.
# NOT RUN HERE: syntax and file names are checked, no more.
# First `make verilog`; then, in the flow folder of OpenROAD-flow-scripts:
#   make DESIGN_CONFIG=/path/to/uticket/constraints/orfs/config.mk
# The scratchpad's LEF (SCRATCHPAD_LEF) and Liberty come from a memory compiler; `make synth LIBERTY=` with the cells of this
# platform writes a Liberty with figures of CACTI, which is enough for synthesis and timing.
UTICKET := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/../..)

export DESIGN_NAME = pe
export DESIGN_NICKNAME = uticket_pe
export PLATFORM = nangate45

export VERILOG_FILES = $(UTICKET)/build/rtl/blackbox/pe.v
export SDC_FILE = $(UTICKET)/constraints/pe.sdc
export ADDITIONAL_LIBS = $(UTICKET)/build/synth/NangateOpenCellLibrary/macros.lib
export ADDITIONAL_LEFS = $(SCRATCHPAD_LEF)

export CORE_UTILIZATION = 50
export PLACE_DENSITY_LB_ADDON = 0.10
export ABC_AREA = 0
