// The ports of the two macros of sky130's PDK that sky130.v uses, for lint and for flows that ask for headers.

/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNDRIVEN */
/* verilator lint_off UNUSEDSIGNAL */
(* blackbox *)
module sky130_sram_1kbyte_1rw1r_32x256_8 (
    input wire clk0,
    input wire csb0,
    input wire web0,
    input wire [3:0] wmask0,
    input wire [7:0] addr0,
    input wire [31:0] din0,
    output wire [31:0] dout0,
    input wire clk1,
    input wire csb1,
    input wire [7:0] addr1,
    output wire [31:0] dout1
);
endmodule

(* blackbox *)
module sky130_sram_2kbyte_1rw1r_32x512_8 (
    input wire clk0,
    input wire csb0,
    input wire web0,
    input wire [3:0] wmask0,
    input wire [8:0] addr0,
    input wire [31:0] din0,
    output wire [31:0] dout0,
    input wire clk1,
    input wire csb1,
    input wire [8:0] addr1,
    output wire [31:0] dout1
);
endmodule
