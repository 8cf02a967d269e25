// Stand-ins for two OpenRAM macros of sky130's PDK, for tests of constraints/sram/sky130.v: ports and timing as
// the macros' own models have them. Inputs are registered at the rising edge, and what was read before is then
// lost, even if nothing is read; memory is written and read at the falling edge.

`default_nettype none

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
  sky130_macro #(
      .ADDRESS(8)
  ) macro (
      .clk(clk0),
      .write(~csb0 & ~web0),
      .mask(wmask0),
      .write_address(addr0),
      .write_data(din0),
      .read(~csb1 & clk1 === clk0),
      .read_address(addr1),
      .read_data(dout1)
  );
  assign dout0 = 32'bx;
endmodule

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
  sky130_macro #(
      .ADDRESS(9)
  ) macro (
      .clk(clk0),
      .write(~csb0 & ~web0),
      .mask(wmask0),
      .write_address(addr0),
      .write_data(din0),
      .read(~csb1 & clk1 === clk0),
      .read_address(addr1),
      .read_data(dout1)
  );
  assign dout0 = 32'bx;
endmodule

module sky130_macro #(
    parameter ADDRESS = 8
) (
    input wire clk,
    input wire write,
    input wire [3:0] mask,
    input wire [ADDRESS-1:0] write_address,
    input wire [31:0] write_data,
    input wire read,
    input wire [ADDRESS-1:0] read_address,
    output reg [31:0] read_data
);
  reg [31:0] words[0:(1<<ADDRESS)-1];
  reg writes, reads;
  reg [3:0] bytes;
  reg [ADDRESS-1:0] to, from;
  reg [31:0] data;
  integer k;
  always @(posedge clk) begin
    writes <= write;
    reads <= read;
    bytes <= mask;
    to <= write_address;
    from <= read_address;
    data <= write_data;
    read_data <= 32'bx;
  end
  always @(negedge clk) begin
    if (writes)
      for (k = 0; k < 4; k = k + 1) if (bytes[k]) words[to][8*k+:8] <= data[8*k+:8];
    if (reads) read_data <= writes && to == from ? 32'bx : words[from];
  end
endmodule

`default_nettype wire
