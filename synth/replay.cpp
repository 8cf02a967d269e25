// Replays a recording at the ports of a gate-level PE, compares its outputs, and writes the switching
// of all nets in a window of cycles as SAIF. Arguments: recording, first cycle, last cycle, SAIF file.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include "Vreplay.h"
#include "verilated.h"
#include "verilated_saif_c.h"

namespace {

unsigned digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

template <typename Port>
void put(Port& port, const std::string& hex, int words) {
    for (int w = 0; w < words; w++) {
        unsigned value = 0;
        for (int d = 7; d >= 0; d--) {
            int at = int(hex.size()) - 1 - (8 * w + d);
            value = value << 4 | (at >= 0 ? digit(hex[at]) : 0);
        }
        port[w] = value;
    }
}

template <typename Port>
bool same(const Port& port, const std::string& hex) {
    for (size_t k = 0; k < hex.size(); k++) {
        unsigned nibble = port[k / 8] >> (4 * (k % 8)) & 15;
        if (nibble != digit(hex[hex.size() - 1 - k])) return false;
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    const long first = std::atol(argv[2]), last = std::atol(argv[3]);
    VerilatedContext context;
    context.traceEverOn(true);
    context.randReset(0);
    Vreplay top{&context};
    VerilatedSaifC saif;
    top.trace(&saif, 99);
    std::ifstream rows(argv[1]);
    std::string in, out;
    top.rst = 1;
    for (int i = 0; i < 6; i++) {
        top.clk = i & 1;
        top.eval();
    }
    top.rst = 0;
    long cycle = 0, wrong = 0, first_wrong = -1;
    // A cycle's inputs are there right after its first edge; its outputs are seen before the next.
    for (; cycle <= last && rows >> in >> out; cycle++) {
        if (cycle == first) saif.open(argv[4]);
        put(top.in, in, (INPUTS + 31) / 32);
        top.eval();
        const bool open = cycle >= first;
        if (open) saif.dump(uint64_t(cycle - first) * 10);
        if (!same(top.out, out) && !wrong++) first_wrong = cycle;
        top.clk = 0;
        top.eval();
        if (open) saif.dump(uint64_t(cycle - first) * 10 + 5);
        top.clk = 1;
        top.eval();
    }
    if (cycle > first) saif.close();
    std::cout << cycle << " " << wrong << " " << first_wrong << "\n";
    return 0;
}
