// The memories that build/rtl/blackbox leaves out, as Verilog, for simulation and as the pattern of a
// wrapper around a memory compiler's macro. Like a macro they start undefined, and what is read of a row
// while it is written is undefined.

/* verilator lint_off DECLFILENAME */
`default_nettype none

// The weight ring of a PE: 1024 words of 16 bits, four in a row.
module uticket_scratchpad #(
    parameter DEPTH = 256,
    parameter WIDTH = 64,
    parameter GRANULE = 64
) (
    input wire clk,
    input wire [WIDTH/GRANULE-1:0] write_enable,
    input wire [$clog2(DEPTH)-1:0] write_address,
    input wire [WIDTH-1:0] write_data,
    input wire read_enable,
    input wire [$clog2(DEPTH)-1:0] read_address,
    output wire [WIDTH-1:0] read_data
);
  uticket_sram #(
      .DEPTH(DEPTH),
      .WIDTH(WIDTH),
      .GRANULE(GRANULE)
  ) sram (
      .clk(clk),
      .write_enable(write_enable),
      .write_address(write_address),
      .write_data(write_data),
      .read_enable(read_enable),
      .read_address(read_address),
      .read_data(read_data)
  );
endmodule

// One of the four banks of the spike buffer: a row is a tile with all its ticks.
module uticket_spike_bank #(
    parameter DEPTH = 512,
    parameter WIDTH = 256,
    parameter GRANULE = 16
) (
    input wire clk,
    input wire [WIDTH/GRANULE-1:0] write_enable,
    input wire [$clog2(DEPTH)-1:0] write_address,
    input wire [WIDTH-1:0] write_data,
    input wire read_enable,
    input wire [$clog2(DEPTH)-1:0] read_address,
    output wire [WIDTH-1:0] read_data
);
  uticket_sram #(
      .DEPTH(DEPTH),
      .WIDTH(WIDTH),
      .GRANULE(GRANULE)
  ) sram (
      .clk(clk),
      .write_enable(write_enable),
      .write_address(write_address),
      .write_data(write_data),
      .read_enable(read_enable),
      .read_address(read_address),
      .read_data(read_data)
  );
endmodule

module uticket_sram #(
    parameter DEPTH = 256,
    parameter WIDTH = 64,
    parameter GRANULE = 64
) (
    input wire clk,
    input wire [WIDTH/GRANULE-1:0] write_enable,
    input wire [$clog2(DEPTH)-1:0] write_address,
    input wire [WIDTH-1:0] write_data,
    input wire read_enable,
    input wire [$clog2(DEPTH)-1:0] read_address,
    output reg [WIDTH-1:0] read_data
);
  reg [WIDTH-1:0] rows[0:DEPTH-1];
  integer k;
  always @(posedge clk) begin
    for (k = 0; k < WIDTH / GRANULE; k = k + 1)
      if (write_enable[k]) rows[write_address][k*GRANULE+:GRANULE] <= write_data[k*GRANULE+:GRANULE];
    if (read_enable) begin
      read_data <= rows[read_address];
`ifndef SYNTHESIS
      if (|write_enable && write_address == read_address) read_data <= {WIDTH{1'bx}};
`endif
    end
  end
endmodule

`default_nettype wire
