// Drives the Verilated top in bulk: programs in, their results and the spike buffer after each layer
// out. Python calls `uticket_run` once an image, or once for a row of them, so that it stays out of the cycle loop.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "Vtop.h"
#include "shared.h"  // struct Run, of harness.py
#include "verilated.h"
#ifdef UTICKET_TRACE
#include "verilated_fst_c.h"
#endif

namespace {

struct Model {
    VerilatedContext context;
    Vtop top{&context};
};

// xorshift64*: whether a stream stalls in this cycle, with probability `threshold` / 2^16.
bool stalls(uint64_t& state, uint32_t threshold) {
    if (!threshold) return false;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return ((state * 0x2545F4914F6CDD1DULL) >> 48) < threshold;
}

void edge(Vtop& top) {
    top.clk = 0;
    top.eval();
    top.clk = 1;
    top.eval();
}

// Leaves the first cycle without reset to come.
void reset(Vtop& top) {
    top.rst = 1;
    for (int i = 0; i < 3; i++) edge(top);
    top.rst = 0;
}

template <typename Port>
const uint8_t* bytes(const Port& port) {
    return reinterpret_cast<const uint8_t*>(&port);
}

void write_word(uint8_t* word, const uint8_t* data, uint32_t enable, uint32_t granules, uint32_t bits) {
    for (uint32_t i = 0; i < granules * bits; i++) {
        if (!(enable >> (i / bits) & 1)) continue;
        uint8_t mask = 1 << (i % 8);
        word[i / 8] = (word[i / 8] & ~mask) | (data[i / 8] & mask);
    }
}

// The way of a program, or of some one after the other, through the array.
struct Drive {
    Vtop& top;
    Run& run;
    const uint64_t bank_bytes = uint64_t(run.word_bytes) * run.depth;
    const uint64_t buffer_bytes = bank_bytes * run.banks;
    const uint32_t granule_bits = run.word_bits / run.granules;
    std::unique_ptr<uint8_t[]> buffer{new uint8_t[buffer_bytes]()};  // as the spike buffer is
    uint64_t stall_state = run.stall_seed * 2 + 1;
    uint64_t at = 0, count = 0, captured = 0;  // beats taken, results, copies of the buffer
    uint64_t cycle = 0, ended = 0, next_last = 0;  // of programs: how many have ended, which one's last beat comes next
    bool last_seen = false, offered = false;

    // Inputs are registered (harness.v): what is set before an edge is offered in the cycle after it.
    void offer() {
        // once a beat is offered it stays, as AXI4-Stream demands
        offered = at < run.beats && (offered || !stalls(stall_state, run.program_stall));
        top.program_valid = offered;
        if (offered) {
            const uint64_t words = run.beat_words, *beat = run.program + at * words;
            for (uint64_t k = 0; k < words; k++) {
                top.program_payload[2 * k] = uint32_t(beat[k]);
                top.program_payload[2 * k + 1] = uint32_t(beat[k] >> 32);
            }
            while (next_last < run.programs && run.lasts[next_last] < at) next_last++;
            top.program_payload[2 * words] = next_last < run.programs && run.lasts[next_last] == at;
        }
        top.results_ready = !stalls(stall_state, run.result_stall);
    }

    // What the array did in a cycle.
    void follow() {
        if (top.program_taken) {
            run.taken_at[at] = cycle;
            at++;
            offered = false;
        }
        if (top.written_banks) write_buffer();
        if (top.results_taken) {
            if (!count) capture();  // the first result: the input is loaded
            if (count < run.max_results)
                run.results[count] =
                    uint64_t(top.results_payload[0]) | uint64_t(top.results_payload[1]) << 32;
            count++;
            if (top.results_payload[2] & 1) last_seen = ++ended == run.programs;
        }
        if (top.layer_end) capture();
    }

    void write_buffer() {
        // as a bank takes it: a program may name a word that is not there
        const uint64_t address = top.written_address % run.depth;
        for (uint32_t b = 0; b < run.banks; b++)
            if (top.written_banks >> b & 1)
                write_word(
                    buffer.get() + b * bank_bytes + address * run.word_bytes,
                    b & 1 ? bytes(top.written_odd) : bytes(top.written_even),
                    top.written_enable, run.granules, granule_bits);
    }

    void capture() {
        if (captured >= run.max_buffers) return;
        run.captured_at[captured] = cycle;
        std::memcpy(run.buffers + captured++ * buffer_bytes, buffer.get(), buffer_bytes);
    }

#ifdef UTICKET_TRACE
    std::unique_ptr<VerilatedFstC> trace;  // of the layer that the run names

    void dump() {
        if (!run.trace_path || captured != run.trace_layer + 1) return;
        if (!trace) {
            trace.reset(new VerilatedFstC);
            top.trace(trace.get(), 99);
            trace->open(run.trace_path);
        }
        trace->dump(cycle * 10);
    }

    void end_dump() {
        if (!trace || captured <= run.trace_layer + 1) return;
        trace->close();
        trace.reset();
        run.trace_path = nullptr;
    }
#endif
};

}  // namespace

extern "C" {

void* uticket_new() {
    auto* model = new Model;
    model->context.traceEverOn(true);
    reset(model->top);
    return model;
}

void uticket_delete(void* handle) {
    auto* model = static_cast<Model*>(handle);
    // A model leaves the thread's context, which may be that of another one, gone since.
    Verilated::threadContextp(&model->context);
    delete model;
}

void uticket_run(void* handle, Run* run) {
    Vtop& top = static_cast<Model*>(handle)->top;
    Drive drive{top, *run};
    drive.offer();
    while (drive.cycle < run->max_cycles) {
        edge(top);
        if (run->reset_at && drive.cycle == run->reset_at) break;
#ifdef UTICKET_TRACE
        drive.dump();
#endif
        drive.follow();
#ifdef UTICKET_TRACE
        drive.end_dump();
#endif
        drive.cycle++;
        run->error = top.error;
        if (drive.last_seen || run->error) break;
        drive.offer();
    }
    top.program_valid = 0;
    if (!drive.last_seen) reset(top);
    run->cycles = drive.cycle;
    run->result_count = drive.count;
    run->buffer_count = drive.captured;
    run->beats_taken = drive.at;
    run->finished = drive.last_seen;
}

}  // extern "C"
