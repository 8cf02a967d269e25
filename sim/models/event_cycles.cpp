// The inner loops of the event machine's cycle model: sim/models/event_cycles.py lays a program and its spikes out,
// docs/event.md derives the rules, tests/plain_event_cycles.py is the same model in plain Python.
//
// All times are cycles; the input of the first image is in the buffer in cycle -1.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "queues.h"
#include "shared.h"  // the structs and accounts of sim/models/event_cycles.py

namespace {

struct Interval {
    Time from, to;  // both in it
};

struct Slice {  // what a PE has in one place of the list
    int32_t place, first, end;  // its taps
    int32_t known, complete;    // slice headers to read until it is
};

struct Pe {
    Ring headers, values;
    Headers front, back;
    // of the segment
    std::vector<Slice> slices;
    std::vector<int32_t> taps;  // rows of the costs
    size_t next = 0;
    Time known = 0, complete = 0;
    // of the FIFO: when places are free again
    Queue slots, places;
    Time free = 0;       // the last cycle at work so far
    Time word_free = 0;  // from when the next tile may be drained: the word before is out
    Time ended = 0;      // when the segment before ended here
    std::vector<Interval> gaps;
    int64_t counts[ACCOUNT_COUNT] = {};
};

struct Machine {
    const Hardware& hw;
    std::vector<Pe> pes;
    Ring list;
    Headers segments;
    Results results;
    Time load = 0, ended = -1, descriptor_free = 0;
    Time cast = -1, cast_before = -1;  // when the last items were handed out
    std::vector<Interval> waits;       // for the program
    Interval loading = {0, -1};        // the last of these, from the end of the layer before on
    int64_t counts[CASTER_COUNT] = {};
    std::vector<Time> writes;          // of PEs' words, which the next image's input waits for

    explicit Machine(const Hardware& hardware) : hw(hardware), pes(hardware.n_pe) {
        for (Pe& pe : pes) {
            pe.headers.left = pe.values.left = hw.ring_rows;
            pe.front.places.left = pe.back.places.left = hw.segment_depth - 1;
        }
        list.left = hw.list_rows;
        segments.places.left = hw.segment_depth - 1;
        results.counters = hw.counter_beats * hw.n_pe;
        results.beats = hw.result_beats;
        results.queue.places.left = hw.n_pe + 1;
    }

    // Channels of the next image's input, of so many rows; beats: in how many cycles each row's activations are taken.
    void load_input(const InputShape& input, const int32_t* beats, int64_t rows) {
        std::sort(writes.begin(), writes.end());
        auto blocked = std::lower_bound(writes.begin(), writes.end(), load);
        Time at = load + 1;            // the next beat
        Time placed = at, free = at;   // when a row is in place, and when it is written
        for (int64_t row = 0; row < rows; ++row) {
            if (row % input.side == 0) at += input.pointers;
            at = std::max(at, placed) + beats[row] - 1;
            placed = free = std::max(at + 1, free);
            for (int64_t w = 0; w < input.writes; ++w) {
                ++free;
                while (blocked != writes.end() && *blocked < free) ++blocked;
                for (; blocked != writes.end() && *blocked == free; ++blocked) ++free;
            }
            ++at;
        }
        load = free + 2;
        writes.erase(writes.begin(), blocked);
    }

    // Loads a segment's list and what its PEs get; the cycle in which its last beat is taken.
    Time load_segment(const SegmentShape& segment, const int64_t* header_words, const int64_t* value_words) {
        for (int64_t w = 0; w < segment.places; w += hw.list_words) load = list.take(load) + 1;
        for (int64_t team = 0; team < hw.n_pe; team += hw.lanes) {
            const int64_t end = std::min(team + hw.lanes, hw.n_pe);
            for (int64_t i = team; i < end; ++i)
                load = pes[i].back.places.take(pes[i].front.places.take(load));
            for (int64_t i = team; i < end; ++i) {
                pes[i].front.written.push(load);
                pes[i].back.written.push(load);
            }
            ++load;
            load_rows(team, end, header_words, &Pe::headers);
            load_rows(team, end, value_words, &Pe::values);
        }
        return load - 1;
    }

    void load_rows(int64_t team, int64_t end, const int64_t* words, Ring Pe::*ring) {
        int64_t most = 0;
        for (int64_t i = team; i < end; ++i) most = std::max(most, words[i]);
        for (int64_t w = 0; w < most; w += 4, ++load)
            for (int64_t i = team; i < end; ++i)
                if (w < words[i]) load = (pes[i].*ring).take(load);
    }

    // Which taps a PE has at which places, from its slice headers.
    void decode(Pe& pe, const uint16_t* words, int64_t count, const LayerShape& layer, const Place* places) {
        pe.slices.clear();
        pe.taps.clear();
        int32_t cursor = 0, read = 0;
        bool opens = true;
        for (int64_t w = 0; w < count; ++w) {
            const int32_t word = words[w], pattern = word & 511;
            ++read;
            if (!pattern) {
                cursor += word >> 9;
                continue;
            }
            if (opens) {
                const int32_t place = cursor + (word >> 12), from = static_cast<int32_t>(pe.taps.size());
                pe.slices.push_back({place, from, from, read, read});
                cursor = place + 1;
            }
            Slice& slice = pe.slices.back();
            const int32_t sub = word >> 9 & 3;
            const int64_t row = (places[slice.place].beat * layer.subs + sub) * 9;
            for (int32_t rest = pattern; rest; rest &= rest - 1)
                pe.taps.push_back(static_cast<int32_t>(row + std::countr_zero(static_cast<unsigned>(rest))));
            slice.end = static_cast<int32_t>(pe.taps.size());
            slice.complete = read;
            opens = word >> 11 & 1;
            if (opens) read = 0;
        }
    }

    // The header unit goes on with the next place of the list, from cycle `from` on.
    static void follow(Pe& pe, Time from) {
        pe.known = pe.complete = from;
        if (pe.next < pe.slices.size()) {
            pe.known += pe.slices[pe.next].known;
            pe.complete += pe.slices[pe.next].complete;
        }
    }

    void wait(Pe& pe, Time from, Time to) {
        if (from <= to) pe.gaps.push_back({from, to});
    }

    // An item is handed out `at`: where the time since the one before went. It was read until `ready`, and all slice
    // headers were until `known`.
    void hand_out(Time ready, Time known, Time at) {
        const Time from = std::max(cast, ended) + 1;
        const Time both = std::max<Time>(0, std::min(loading.to, ready - 1) - std::max(loading.from, from) + 1);
        counts[LOAD] += both;
        counts[READ] += ready - from - both;
        counts[HEADER] += known - ready;
        counts[FIFO] += at - known;
        ++counts[CAST];
        cast_before = cast;
        cast = at;
    }
};

}  // namespace

extern "C" {

// Images one after the other, the first one's input in the buffer in cycle -1; the next one's comes as `early` says.
//
// tiles: of all layers. reads: passes of a slice, (kinds, tiles) a layer, `kinds` of them. most, least: of each image, of
// each row of a layer's costs, (rows, tiles): the positions of the bank that has most and least; sums: of all banks.
// header_words, value_words: of each PE of each segment. places: of the lists of all segments. headers: their words.
// early: of each segment, channels of the next input. beats: of each of its rows, of all images but the first.
// Of each image: cycles: (layers). counters: (layers, ACCOUNT_COUNT, n_pe). caster: (layers, CASTER_COUNT).
// positions: (segments, n_pe). waited: from the end of the image before until its layers begin. latency: from the first
// beat of its input to its end; both are 0 of the first image.
void uticket_event_cycles(const Hardware* hardware, const InputShape* input, int64_t images, int64_t layers,
                          int64_t kinds, const LayerShape* shapes, const TileShape* all_tiles, const uint8_t* all_reads,
                          const uint8_t* most, const uint8_t* least, const uint8_t* sums,
                          const SegmentShape* all_segments, const int64_t* all_header_words,
                          const int64_t* all_value_words, const Place* all_places, const uint16_t* all_headers,
                          const int64_t* all_early, const int32_t* beats, int64_t* cycles, int64_t* counters,
                          int64_t* caster, int64_t* positions, int64_t* waited, int64_t* latency) {
    const Hardware& hw = *hardware;
    Machine machine(hw);
    const int64_t n_pe = hw.n_pe;
    Time arrived = 0;  // the first beat of an image's input
    for (int64_t image = 0; image < images; ++image) {
        const TileShape* tiles = all_tiles;
        const uint8_t* reads = all_reads;
        const SegmentShape* segments = all_segments;
        const int64_t* header_words = all_header_words;
        const int64_t* value_words = all_value_words;
        const Place* places = all_places;
        const uint16_t* headers = all_headers;
        const int64_t* early = all_early;
        const bool more = image + 1 < images;
        const Time came = arrived;
        bool first_part = true;
        if (image) {  // the program's header
            const Time begun = std::max(machine.ended + 1, ++machine.load);
            waited[image] = begun - machine.ended;
            machine.results.input(begun);
            machine.ended = begun;
        }
        for (int64_t l = 0; l < layers; ++l) {
            const LayerShape& layer = shapes[l];
            const Time high = std::max(machine.load + 1, machine.descriptor_free);
            machine.load = high + layer.more_beats + 1;
            const Time taken = std::max(machine.ended + 1, machine.load);  // by the sequencer
            machine.descriptor_free = taken + 1;
            const Time start = taken + 2;
            machine.waits.clear();
            for (Pe& pe : machine.pes) {
                pe.free = start - 1;
                pe.word_free = start;
                pe.gaps.clear();
            }
            int64_t group = 0, tile = 0;
            Time turned = start;  // when the caster ends a pass, or may take up the first segment
            Time wait_from = start;
            for (int64_t s = 0; s < layer.segments; ++s, ++segments, ++early) {
                const SegmentShape& segment = *segments;
                machine.load = machine.segments.write(machine.load) + 1;
                if (more && *early) {
                    if (first_part) arrived = machine.load;
                    first_part = false;
                    machine.load_input(*input, beats, *early * input->side);
                    beats += *early * input->side;
                }
                const Time loaded = machine.load_segment(segment, header_words, value_words);
                const Time opened = std::max(turned, loaded + 2);
                machine.segments.pop(opened);
                if (wait_from < opened) machine.waits.push_back({wait_from, opened - 1});
                machine.loading = {s ? wait_from : machine.ended + 1, opened - 1};
                for (int64_t i = 0; i < n_pe; ++i) {
                    Pe& pe = machine.pes[i];
                    machine.decode(pe, headers, header_words[i], layer, places);
                    headers += header_words[i];
                    pe.front.pop(machine.cast);  // the end of the segment before
                    pe.back.pop(pe.ended);
                    pe.next = 0;
                    machine.follow(pe, std::max(machine.cast + 1, opened + 1));
                }
                const int64_t last = segment.all_tiles ? layer.tiles - 1 : tile;
                Time available = opened + 2;  // the reader's next item
                for (; tile <= last; ++tile) {
                    Time read = 0;
                    for (int64_t k = 0; k < segment.places; ++k) {
                        const Time first = std::max(available, machine.cast_before);
                        read = first + reads[places[k].kind * layer.tiles + tile] - 1;
                        available = read + 1;
                        const Time ready = std::max({read + 2, machine.cast + 1, machine.ended + 1});
                        Time known = ready, at = ready;
                        for (Pe& pe : machine.pes) {
                            known = std::max(known, pe.known);
                            if (pe.next < pe.slices.size() && pe.slices[pe.next].place == k) {
                                known = std::max(known, pe.complete);
                                at = std::max({at, pe.slots.peek(hw.fifo_depth), pe.places.peek(hw.fifo_places)});
                            }
                        }
                        at = std::max(at, known);
                        machine.hand_out(ready, known, at);
                        for (int64_t i = 0; i < n_pe; ++i) {
                            Pe& pe = machine.pes[i];
                            if (pe.next >= pe.slices.size() || pe.slices[pe.next].place != k) continue;
                            const Slice& slice = pe.slices[pe.next++];
                            machine.follow(pe, at);
                            const Time begin = std::max(at + 1, pe.free);
                            machine.wait(pe, pe.free + 1, begin);
                            int64_t all = 0, full = 0, sum = 0;
                            for (int32_t t = slice.first; t < slice.end; ++t) {
                                const int64_t cost = pe.taps[t] * layer.tiles + tile;
                                all += std::max<int64_t>(1, most[cost]);
                                full += std::max<int64_t>(1, least[cost]);
                                sum += sums[cost];
                            }
                            if (places[k].beat >= layer.identity_from) {
                                pe.counts[STALL_SHORTCUT] += all;
                            } else {
                                pe.counts[WORK_CYCLES] += full;
                                pe.counts[STALL_BANK] += all - full;
                                positions[i] += sum;
                            }
                            pe.free = begin + all;
                            pe.places.push(begin + 1);
                            pe.slots.push(pe.free + 1);
                        }
                    }
                    const Time first = std::max(available, machine.cast_before);
                    const Time ready = std::max({first + 2, machine.cast + 1, machine.ended + 1});
                    Time at = ready;
                    for (Pe& pe : machine.pes) at = std::max(at, pe.places.peek(hw.fifo_places));
                    machine.hand_out(ready, ready, at);
                    available = first + 2;
                    turned = first;
                    for (int64_t i = 0; i < n_pe; ++i) {
                        Pe& pe = machine.pes[i];
                        pe.next = 0;
                        machine.follow(pe, at + 1);
                        Time begin = std::max(at + 1, pe.free);
                        if (segment.close) begin = std::max(begin, pe.word_free);
                        machine.wait(pe, pe.free + 1, std::min(at, begin));
                        pe.counts[STALL_OUTPUT] += begin - std::max(at, pe.free);
                        pe.places.push(begin + 1);
                        pe.free = begin + (segment.close ? tiles[tile].neurons : 1);
                        pe.counts[STALL_LIF] += pe.free - begin;
                        if (segment.close) {
                            pe.word_free = pe.free + hw.drain;
                            if (tiles[tile].stored && group * n_pe + i < layer.filters) {
                                if (layer.raw) {
                                    pe.word_free = machine.results.put(pe.word_free) + 1;
                                } else {
                                    const int64_t late = (i - (pe.word_free - start)) % n_pe;
                                    pe.word_free += (late < 0 ? late + n_pe : late) + 1;
                                    if (more) machine.writes.push_back(pe.word_free - 1);
                                }
                            }
                        }
                        if (tile == last) {
                            pe.ended = begin;
                            for (int64_t w = 0; w < header_words[i]; w += 4) pe.headers.freed.push(at + 1);
                            for (int64_t w = 0; w < value_words[i]; w += 4) pe.values.freed.push(begin + 1);
                        }
                    }
                }
                for (int64_t w = 0; w < segment.places; w += hw.list_words) machine.list.freed.push(turned + 1);
                if (!segment.all_tiles && !segment.close) {
                    tile = last;
                } else if (tile == layer.tiles) {
                    tile = 0;
                    ++group;
                }
                wait_from = turned + 1;
                places += segment.places;
                header_words += n_pe;
                value_words += n_pe;
                positions += n_pe;
            }
            Time done = 0;
            for (Pe& pe : machine.pes) done = std::max(done, pe.word_free + 1);
            const Time end = std::max(done, machine.results.free);
            machine.results.capture(end);
            for (int64_t i = 0; i < n_pe; ++i) {
                Pe& pe = machine.pes[i];
                pe.counts[STALL_LOAD] += start - machine.ended - 1;
                pe.counts[STALL_OUTPUT] += end - pe.free;
                size_t w = 0;
                for (const Interval& gap : pe.gaps) {  // idle, where the caster did not wait for the program
                    pe.counts[IDLE_CYCLES] += gap.to - gap.from + 1;
                    while (w < machine.waits.size() && machine.waits[w].to < gap.from) ++w;
                    for (size_t v = w; v < machine.waits.size() && machine.waits[v].from <= gap.to; ++v) {
                        const Time both =
                            std::min(gap.to, machine.waits[v].to) - std::max(gap.from, machine.waits[v].from) + 1;
                        pe.counts[IDLE_CYCLES] -= both;
                        pe.counts[STALL_LOAD] += both;
                    }
                }
                for (int a = 0; a < ACCOUNT_COUNT; ++a) {
                    counters[a * n_pe + i] = pe.counts[a];
                    pe.counts[a] = 0;
                }
            }
            machine.counts[FINISH] += end - std::max(machine.cast, machine.ended);
            for (int a = 0; a < CASTER_COUNT; ++a) {
                *caster++ = machine.counts[a];
                machine.counts[a] = 0;
            }
            counters += ACCOUNT_COUNT * n_pe;
            *cycles++ = end - machine.ended;
            machine.ended = end;
            tiles += layer.tiles;
            reads += kinds * layer.tiles;
            most += layer.rows * layer.tiles;
            least += layer.rows * layer.tiles;
            sums += layer.rows * layer.tiles;
        }
        if (image) latency[image] = machine.ended - came + 1;
    }
}
}
