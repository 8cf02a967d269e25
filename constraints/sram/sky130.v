// The memories that build/rtl/blackbox leaves out, made of the OpenRAM macros of sky130's PDK
// (sky130_sram_macros): for the preset `paper` alone. Power pins are left to the flow.

/* verilator lint_off DECLFILENAME */
/* verilator lint_off PINCONNECTEMPTY */
`default_nettype none

// 256 x 64: two macros of 256 x 32. OpenRAM does not promise to keep what was read, so the row, which stays
// until the next read, is read again in every cycle.
module uticket_scratchpad (
    input wire clk,
    input wire [0:0] write_enable,
    input wire [7:0] write_address,
    input wire [63:0] write_data,
    /* verilator lint_off UNUSEDSIGNAL */
    input wire read_enable,
    /* verilator lint_on UNUSEDSIGNAL */
    input wire [7:0] read_address,
    output wire [63:0] read_data
);
  genvar k;
  generate
    for (k = 0; k < 2; k = k + 1) begin : part
      sky130_sram_1kbyte_1rw1r_32x256_8 sram (
          .clk0(clk),
          .csb0(~write_enable),
          .web0(~write_enable),
          .wmask0(4'b1111),
          .addr0(write_address),
          .din0(write_data[32*k+:32]),
          .dout0(),
          .clk1(clk),
          .csb1(1'b0),
          .addr1(read_address),
          .dout1(read_data[32*k+:32])
      );
    end
  endgenerate
endmodule

// 512 x 256, 16 bits at a time: eight macros of 512 x 32, 8 bits at a time.
module uticket_spike_bank (
    input wire clk,
    input wire [15:0] write_enable,
    input wire [8:0] write_address,
    input wire [255:0] write_data,
    input wire read_enable,
    input wire [8:0] read_address,
    output wire [255:0] read_data
);
  genvar k;
  generate
    for (k = 0; k < 8; k = k + 1) begin : part
      wire [1:0] half = write_enable[2*k+:2];
      sky130_sram_2kbyte_1rw1r_32x512_8 sram (
          .clk0(clk),
          .csb0(~|half),
          .web0(~|half),
          .wmask0({half[1], half[1], half[0], half[0]}),
          .addr0(write_address),
          .din0(write_data[32*k+:32]),
          .dout0(),
          .clk1(clk),
          .csb1(~read_enable),
          .addr1(read_address),
          .dout1(read_data[32*k+:32])
      );
    end
  endgenerate
endmodule

`default_nettype wire
