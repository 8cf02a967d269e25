// Simulates a netlist of gates and rising-edge flip-flops, without delays: what each net is at the end of
// a cycle, how often it changed from one cycle to the next, and how often each gated clock has the edge that ends
// a cycle, summed over windows of cycles.

#include <cstdint>
#include <cstring>
#include <vector>

extern "C" {

struct Memory {  // a synchronous read and write port
    int64_t address_bits, data_bits;
    const int32_t *read_address, *read_data, *write_address, *write_data;
    int64_t read_enable, write_enable;
};

struct Netlist {
    int64_t nets, gates, flops;
    const int32_t* gate_inputs;   // (gates, 6), in topological order; net 0 is constant 0, 1 constant 1
    const uint64_t* gate_tables;  // bit k: the output where input i is bit i of k
    const int32_t* gate_outputs;
    const int32_t* flop_inputs;  // (flops, 6)
    const uint64_t* flop_tables;
    const int32_t* flop_outputs;  // (flops, 2): the state and its complement, or -1
    const int32_t* flop_clocks;   // index of a clock-gating cell, or -1: the clock itself
    int64_t clock_gates;
    const int32_t* clock_gate_enables;
    int64_t memories;
    const Memory* memory;
    // ports
    int64_t inputs, outputs;
    const int32_t *input_nets, *output_nets;
};

// Index in `expected` of the first output that differs, or -1. `reset` is held at 1 for three cycles
// before. stimuli, expected: a byte a bit, (cycles, inputs) and (cycles, outputs). reads, writes: (windows, memories).
int64_t simulate(const Netlist* n, int32_t reset, const uint8_t* stimuli, const uint8_t* expected,
                 int64_t cycles, int64_t window, uint32_t* changes, uint32_t* passed, int64_t* reads,
                 int64_t* writes) {
    std::vector<uint8_t> value(n->nets), before(n->nets), next(n->flops), open(n->clock_gates);
    std::vector<std::vector<uint8_t>> rows;
    for (int64_t k = 0; k < n->memories; k++)
        rows.emplace_back(n->memory[k].data_bits << n->memory[k].address_bits);
    value[1] = 1;
    auto look = [&](const int32_t* inputs, uint64_t table) {
        unsigned k = 0;
        for (int i = 0; i < 6; i++) k |= unsigned(value[inputs[i]]) << i;
        return uint8_t(table >> k & 1);
    };
    auto settle = [&] {
        for (int64_t f = 0; f < n->flops; f++) {
            const int32_t* out = n->flop_outputs + 2 * f;
            if (out[0] >= 0) value[out[0]] = next[f];
            if (out[1] >= 0) value[out[1]] = !next[f];
        }
        for (int64_t g = 0; g < n->gates; g++)
            value[n->gate_outputs[g]] = look(n->gate_inputs + 6 * g, n->gate_tables[g]);
    };
    auto word = [&](const Memory& m, const int32_t* nets) {
        int64_t address = 0;
        for (int64_t b = 0; b < m.address_bits; b++) address |= int64_t(value[nets[b]]) << b;
        return address * m.data_bits;
    };
    for (int64_t cycle = -3; cycle < cycles; cycle++) {
        if (reset >= 0) value[reset] = cycle < 0;
        if (cycle >= 0)
            for (int64_t i = 0; i < n->inputs; i++)
                value[n->input_nets[i]] = stimuli[cycle * n->inputs + i];
        settle();
        if (cycle >= 0) {
            for (int64_t o = 0; o < n->outputs; o++)
                if (value[n->output_nets[o]] != expected[cycle * n->outputs + o]) return cycle * n->outputs + o;
            uint32_t* row = changes + cycle / window * n->nets;
            if (cycle)
                for (int64_t k = 0; k < n->nets; k++) row[k] += value[k] != before[k];
        }
        before = value;
        for (int64_t c = 0; c < n->clock_gates; c++) {
            open[c] = value[n->clock_gate_enables[c]];
            if (cycle >= 0) passed[cycle / window * n->clock_gates + c] += open[c];
        }
        for (int64_t f = 0; f < n->flops; f++)
            if (n->flop_clocks[f] < 0 || open[n->flop_clocks[f]])
                next[f] = look(n->flop_inputs + 6 * f, n->flop_tables[f]);
        // What each memory does is seen before any of them shows what it read.
        for (int64_t k = 0; k < n->memories; k++) {
            const Memory& m = n->memory[k];
            const bool read = value[m.read_enable], write = value[m.write_enable];
            if (cycle >= 0) {
                reads[cycle / window * n->memories + k] += read;
                writes[cycle / window * n->memories + k] += write;
            }
            if (read)
                for (int64_t b = 0, at = word(m, m.read_address); b < m.data_bits; b++)
                    before[m.read_data[b]] = rows[k][at + b];  // what it will be; swapped below
            if (write)
                for (int64_t b = 0, at = word(m, m.write_address); b < m.data_bits; b++)
                    rows[k][at + b] = value[m.write_data[b]];
        }
        for (int64_t k = 0; k < n->memories; k++)
            for (int64_t b = 0; b < n->memory[k].data_bits; b++) {
                const int32_t net = n->memory[k].read_data[b];
                const uint8_t will = before[net];
                before[net] = value[net];
                value[net] = will;
            }
    }
    return -1;
}
}
