// The top with every input behind a register, so that Verilator computes a cycle's logic once: with
// inputs set after one clock edge and seen after the next, nothing combinational hangs on them.
module harness #(
    parameter WORD = 256,
    parameter BITS = 64,
    parameter GRANULES = 16
) (
    input clk,
    input rst,
    input program_valid,
    input [BITS:0] program_payload,
    output program_taken,  // the beat that is offered in this cycle
    input results_ready,
    output results_taken,
    output [64:0] results_payload,
    output [2:0] error,
    output layer_end,
    output [3:0] written_banks,
    output [11:0] written_address,
    output [GRANULES-1:0] written_enable,
    output [WORD-1:0] written_even,
    output [WORD-1:0] written_odd
);
  reg reset = 1, valid = 0, ready = 0;
  reg [BITS:0] payload = 0;
  always @(posedge clk) begin
    reset <= rst;
    valid <= program_valid;
    payload <= program_payload;
    ready <= results_ready;
  end

  wire program_ready, results_valid;
  assign program_taken = valid & program_ready;
  assign results_taken = results_valid & ready;

  top top (
      .clk(clk),
      .rst(reset),
      .program__valid(valid),
      .program__payload(payload),
      .program__ready(program_ready),
      .results__valid(results_valid),
      .results__payload(results_payload),
      .results__ready(ready),
      .error(error),
      .layer_end(layer_end),
      .written_banks(written_banks),
      .written_address(written_address),
      .written_enable(written_enable),
      .written_even(written_even),
      .written_odd(written_odd)
  );
endmodule
