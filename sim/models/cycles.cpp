// The inner loops of the cycle model: cycles.py lays the program out, docs/cycles.md derives the
// rules, tests/plain_cycles.py is the same model in plain Python, and tests hold one to the other.
//
// All times are cycles counted from the program's first beat, the input being in the buffer in cycle -1.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "queues.h"
#include "shared.h"  // the structs and accounts of sim/models/cycles.py

namespace {

struct Pe {
    Ring ring;
    Headers headers;
    Time decoded = -1, granted = -1, taken = -1;
    Time free = 0;          // the first cycle that is not accounted for
    Time leaving_free = 0;  // from when on the next tile may open: the one before is out
    bool opened = false, stored = false;
    int64_t tile = 0, group = 0;
    int64_t counts[ACCOUNT_COUNT] = {};
};

struct Array {
    const Hardware& hw;
    std::vector<Pe> pes;
    Results results;
    std::vector<int32_t> gaps;  // of each weight, how many headers come right before it

    explicit Array(const Hardware& hardware) : hw(hardware), pes(hardware.n_pe) {
        for (Pe& pe : pes) {
            pe.ring.left = hw.rows;
            pe.headers.places.left = hw.queue_depth - 1;
        }
        results.counters = hw.counter_beats * hw.n_pe;
        results.beats = hw.result_beats;
        results.queue.places.left = hw.n_pe + 1;
    }

    // The sweep taken in cycle `taken` drains the open tile: when the next may open.
    void drain(Pe& pe, int64_t i, const LayerShape& layer, Time taken, Time start) {
        if (!pe.opened) return;
        const Time gathered = taken + layer.whole + hw.drain;
        if (!pe.stored) {
            pe.leaving_free = gathered;
        } else if (layer.raw) {
            pe.leaving_free = results.put(gathered) + 1;
        } else {
            const int64_t late = (i - (gathered - start)) % hw.n_pe;
            pe.leaving_free = gathered + (late < 0 ? late + hw.n_pe : late) + 1;
        }
    }

    // Decodes and sweeps PE i's part of a segment; the last cycle of its last sweep.
    Time segment(Pe& pe, int64_t i, const LayerShape& layer, const SegmentShape& segment,
                 const int32_t* positions, const uint8_t* stored, const uint16_t* words, int64_t length,
                 int64_t identities, const std::vector<Time>& loaded, Time start) {
        gaps.clear();
        int32_t headers = 0, rest = 0;
        for (int64_t w = 0; w < length; ++w) {
            if (rest) {
                gaps.push_back(headers);
                headers = 0;
                --rest;
            } else {
                ++headers;
                rest = std::popcount(static_cast<unsigned>(words[w] & hw.kernel));
            }
        }
        const bool empty = gaps.empty();
        if (empty) gaps.push_back(0);
        const Time phase = i / layer.slots_a_phase;
        Time decoded = pe.headers.pop(std::max(pe.decoded + 1, start));
        Time granted = pe.granted, taken = pe.taken, free = pe.free;
        int64_t work = 0, load = 0, window = 0, output = 0, lif = 0, shortcut = 0;
        const int64_t own = static_cast<int64_t>(gaps.size()) - identities;  // then come an identity's
        const int64_t first = segment.all_tiles ? 0 : pe.tile;
        const int64_t last = segment.all_tiles ? layer.tiles - 1 : pe.tile;
        for (int64_t number = first; number <= last; ++number) {
            const int64_t here = positions[number];
            int64_t word = 0;
            for (size_t index = 0; index < gaps.size(); ++index) {
                const int32_t gap = gaps[index];
                // decode: a word a cycle, once it is loaded; a weight once the one before is granted
                if (empty) {
                    decoded = std::max(decoded + 1, granted);
                } else if (number == first || number == last) {
                    for (int32_t k = 0; k <= gap; ++k) {
                        decoded = std::max(decoded + 1, loaded[word / hw.words_a_beat] + 2);
                        if (k == gap) decoded = std::max(decoded, granted);
                        ++word;
                        if (number == last && (word % hw.words_a_beat == 0 || word == length))
                            pe.ring.freed.push(decoded + 1);
                    }
                } else {
                    decoded = std::max(decoded + gap + 1, granted);
                }
                // fetch: in this PE's slot, once the fetch stage is empty
                granted = std::max(decoded, taken) + 1;
                Time ready = granted + 1;
                if (!empty) {
                    const int64_t late = (phase - (granted - start)) % layer.rotation;
                    granted += late < 0 ? late + layer.rotation : late;
                    ready = granted + hw.fetch - 1;
                }
                // take: once the sweep before ends, and the tile before is out
                const bool opening = segment.open && index == 0;
                taken = std::max(ready, free - 1);
                if (opening && pe.leaving_free > taken) {
                    output += pe.leaving_free - std::max(free, ready);
                    taken = pe.leaving_free;
                    window -= taken - std::max(free, ready);
                }
                if (taken >= free) {
                    const Time waits = std::min(std::max(decoded - free + 1, Time{0}), taken - free + 1);
                    load += waits;
                    window += taken - free + 1 - waits;
                }
                // sweep
                const int64_t visited = opening ? layer.whole : here;
                const int64_t cycles = std::max(visited, hw.minimum);
                if (empty) {
                    lif += cycles;
                } else {
                    (static_cast<int64_t>(index) < own ? work : shortcut) += here;
                    lif += visited - here;
                    window += cycles - visited;
                }
                free = taken + cycles + 1;
                if (opening) {
                    drain(pe, i, layer, taken, start);
                    pe.opened = true;
                    pe.stored = stored[number] && pe.group * hw.n_pe + i < layer.filters;
                }
            }
        }
        if (segment.close) {
            pe.tile = (last + 1) % layer.tiles;
            pe.group += pe.tile == 0;
        }
        pe.decoded = decoded, pe.granted = granted, pe.taken = taken, pe.free = free;
        pe.counts[WORK_CYCLES] += work, pe.counts[STALL_LOAD] += load, pe.counts[STALL_WINDOW] += window;
        pe.counts[STALL_OUTPUT] += output, pe.counts[STALL_LIF] += lif, pe.counts[STALL_SHORTCUT] += shortcut;
        return free - 1;
    }

    // The sweep that drains a layer's last tile; the cycle in which PE i is done.
    Time flush(Pe& pe, int64_t i, const LayerShape& layer, Time start) {
        const Time begin = std::max(pe.free, pe.leaving_free);
        pe.counts[STALL_OUTPUT] += begin - pe.free + 1;
        const int64_t cycles = std::max(layer.whole, hw.minimum);
        pe.counts[STALL_LIF] += cycles;
        pe.free = begin + cycles + 1;
        drain(pe, i, layer, begin, start);
        return std::max(pe.leaving_free, pe.free) + 1;
    }
};

}  // namespace

extern "C" {

// positions, stored: of the tiles of all layers. ends: of the words of each PE of each segment;
// identities: how many of its weights, the last, are an identity shortcut's.
// cycles: (layers). counters: (layers, ACCOUNT_COUNT, n_pe).
void uticket_cycles(const Hardware* hardware, int64_t layers, const LayerShape* shapes,
                    const int32_t* positions, const uint8_t* stored, const SegmentShape* segments,
                    const int64_t* ends, const uint16_t* words, const int32_t* identities, int64_t* cycles,
                    int64_t* counters) {
    const Hardware& hw = *hardware;
    Array array(hw);
    Time load = 0;  // the loader's next beat
    Time ended = -1, descriptor_free = 0;
    int64_t from = 0;
    std::vector<std::vector<Time>> loaded(hw.n_pe);
    std::vector<Time> stops(hw.n_pe);
    for (int64_t l = 0; l < layers; ++l) {
        const LayerShape& layer = shapes[l];
        const Time high = std::max(load + 1, descriptor_free);
        load = high + 1;
        const Time taken = std::max(ended + 1, high + 1);  // by the sequencer
        descriptor_free = taken + 1;
        const Time start = taken + 2;
        for (Pe& pe : array.pes) {
            pe.decoded = pe.granted = pe.taken = start - 1;
            pe.free = pe.leaving_free = start;
            pe.opened = false;
            pe.tile = pe.group = 0;
        }
        for (int64_t s = 0; s < layer.segments; ++s, ++segments) {
            int64_t begin = from;
            for (int64_t i = 0; i < hw.n_pe; ++i) {
                Pe& pe = array.pes[i];
                load = pe.headers.write(load) + 1;
                loaded[i].clear();
                for (int64_t w = begin; w < ends[i]; w += hw.words_a_beat) {
                    loaded[i].push_back(pe.ring.take(load));
                    load = loaded[i].back() + 1;
                }
                begin = ends[i];
            }
            Time release = 0;
            for (int64_t i = 0; i < hw.n_pe; ++i) {
                stops[i] = array.segment(array.pes[i], i, layer, *segments, positions, stored, words + from,
                                         ends[i] - from, identities[i], loaded[i], start);
                release = std::max(release, stops[i] + 1);
                from = ends[i];
            }
            for (int64_t i = 0; i < hw.n_pe; ++i) {
                array.pes[i].counts[IDLE_CYCLES] += release - stops[i];
                array.pes[i].free = release + 1;
            }
            ends += hw.n_pe;
            identities += hw.n_pe;
        }
        Time done = 0;
        for (int64_t i = 0; i < hw.n_pe; ++i)
            done = std::max(done, array.flush(array.pes[i], i, layer, start));
        const Time end = std::max(done, array.results.free);
        array.results.capture(end);
        for (int64_t i = 0; i < hw.n_pe; ++i) {
            Pe& pe = array.pes[i];
            pe.counts[STALL_LOAD] += start - ended - 1;
            pe.counts[STALL_OUTPUT] += end + 1 - pe.free;
            pe.free = end + 1;
            for (int a = 0; a < ACCOUNT_COUNT; ++a) {
                counters[(l * ACCOUNT_COUNT + a) * hw.n_pe + i] = pe.counts[a];
                pe.counts[a] = 0;
            }
        }
        cycles[l] = end - ended;
        ended = end;
        positions += layer.tiles;
        stored += layer.tiles;
    }
}
}
