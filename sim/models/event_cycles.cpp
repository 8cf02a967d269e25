// The inner loops of the event machine's cycle model: sim/models/event_cycles.py lays a program and its spikes out,
// docs/event.md derives the rules, tests/plain_event_cycles.py is the same model in plain Python.
//
// All times are cycles; the first program's input is in the buffer in cycle -1.

#include <algorithm>
#include <cstdint>
#include <utility>

#include "event_machine.h"

namespace {

struct Program {  // how far a walk is in its arrays
    const TileShape* tiles;
    const uint8_t* reads;
    const SegmentShape* segments;
    const int64_t *header_words, *value_words;
    const Place* places;
    const uint16_t* headers;
    const int64_t* early;
};

struct Costs {  // of the layer that runs
    const uint8_t *most, *least, *sums;
};

struct Next {  // the image behind the one that runs
    const InputShape& input;
    const int32_t* beats;  // of its rows that have not come
    bool comes = false, begun = false;
    Time arrived = 0;  // the first beat of its input
};

struct Layer {  // the one that runs, and where its tiles begin in the arrays
    const LayerShape& shape;
    const TileShape* tiles;
    const uint8_t* reads;
    Costs costs;
    bool more;  // an image comes behind this one
    Time start;
    Time turned = start;     // when the caster ends a pass, or may take up the first segment
    Time wait_from = start;  // for the program
    int64_t group = 0, tile = 0;
};

struct Segment {  // the one that runs, and where it begins in the arrays
    const SegmentShape& shape;
    const int64_t *header_words, *value_words;
    const Place* places;
    int64_t* positions;
};

// The sequencer takes a layer up when its descriptor is there; the layer's first cycle.
Time start_layer(Machine& machine, const LayerShape& layer) {
    const Time high = std::max(machine.load + 1, machine.descriptor_free);
    machine.load = high + layer.more_beats + 1;
    const Time taken = std::max(machine.ended + 1, machine.load);
    machine.descriptor_free = taken + 1;
    const Time start = taken + 2;
    machine.waits.clear();
    for (Pe& pe : machine.pes) {
        pe.free = start - 1;
        pe.word_free = start;
        pe.gaps.clear();
    }
    return start;
}

// Loads a segment, and behind its header so many channels of the next image's input; the cycle of its last beat.
Time load(Machine& machine, const Segment& segment, int64_t channels, Next& next) {
    machine.load = machine.segments.write(machine.load) + 1;
    if (next.comes && channels) {
        if (!next.begun) next.arrived = machine.load;
        next.begun = true;
        machine.load_input(next.input, next.beats, channels * next.input.side);
        next.beats += channels * next.input.side;
    }
    return machine.load_segment(segment.shape, segment.header_words, segment.value_words);
}

// The caster and the PEs take up a segment that was `loaded`, and decode; from when on the reader may read.
// headers: moves on.
Time open_segment(Machine& machine, const Layer& layer, const Segment& segment, Time loaded, bool first,
                  const uint16_t*& headers) {
    const Time opened = std::max(layer.turned, loaded + 2);
    machine.segments.pop(opened);
    if (layer.wait_from < opened) machine.waits.push_back({layer.wait_from, opened - 1});
    machine.loading = {first ? machine.ended + 1 : layer.wait_from, opened - 1};
    for (int64_t i = 0; i < machine.hw.n_pe; ++i) {
        Pe& pe = machine.pes[i];
        machine.decode(pe, headers, segment.header_words[i], layer.shape, segment.places);
        headers += segment.header_words[i];
        pe.front.pop(machine.cast);  // the end of the segment before
        pe.back.pop(pe.ended);
        pe.next = 0;
        machine.follow(pe, std::max(machine.cast + 1, opened + 1));
    }
    return opened + 2;
}

// A PE visits its slice of place k, which was handed out `at`.
void visit(Machine& machine, Pe& pe, const Layer& layer, const Segment& segment, int64_t k, Time at,
           int64_t& positions) {
    const Slice& slice = pe.slices[pe.next++];
    machine.follow(pe, at);
    const Time begin = std::max(at + 1, pe.free);
    machine.wait(pe, pe.free + 1, begin);
    int64_t all = 0, full = 0, sum = 0;
    for (int32_t t = slice.first; t < slice.end; ++t) {
        const int64_t cost = pe.taps[t] * layer.shape.tiles + layer.tile;
        all += std::max<int64_t>(1, layer.costs.most[cost]);
        full += std::max<int64_t>(1, layer.costs.least[cost]);
        sum += layer.costs.sums[cost];
    }
    if (segment.places[k].beat >= layer.shape.identity_from) {
        pe.counts[STALL_SHORTCUT] += all;
    } else {
        pe.counts[WORK_CYCLES] += full;
        pe.counts[STALL_BANK] += all - full;
        positions += sum;
    }
    pe.free = begin + all;
    pe.places.push(begin + 1);
    pe.slots.push(pe.free + 1);
}

// The list of a segment, place after place, at a tile; from when on the reader may read what follows.
Time cast_list(Machine& machine, const Layer& layer, const Segment& segment, Time available) {
    for (int64_t k = 0; k < segment.shape.places; ++k) {
        const Time first = std::max(available, machine.cast_before);
        const Time read = first + layer.reads[segment.places[k].kind * layer.shape.tiles + layer.tile] - 1;
        available = read + 1;
        const Time ready = std::max({read + 2, machine.cast + 1, machine.ended + 1});
        Time known = ready, at = ready;
        for (Pe& pe : machine.pes) {
            known = std::max(known, pe.known);
            if (pe.awaits(k)) {
                known = std::max(known, pe.complete);
                at = std::max({at, pe.slots.peek(machine.hw.fifo_depth), pe.places.peek(machine.hw.fifo_places)});
            }
        }
        at = std::max(at, known);
        machine.hand_out(ready, known, at);
        for (int64_t i = 0; i < machine.hw.n_pe; ++i) {
            Pe& pe = machine.pes[i];
            if (pe.awaits(k)) visit(machine, pe, layer, segment, k, at, segment.positions[i]);
        }
    }
    return available;
}

// PE i reads the tile's neurons out, from cycle `begin` on, and hands its word over.
void drain(Machine& machine, int64_t i, const Layer& layer, Time begin) {
    Pe& pe = machine.pes[i];
    const int64_t n_pe = machine.hw.n_pe;
    pe.free = begin + layer.tiles[layer.tile].neurons;
    pe.word_free = pe.free + machine.hw.drain;
    if (!layer.tiles[layer.tile].stored || layer.group * n_pe + i >= layer.shape.filters) return;
    if (layer.shape.raw) {
        pe.word_free = machine.results.put(pe.word_free) + 1;
    } else {
        const int64_t late = (i - (pe.word_free - layer.start)) % n_pe;
        pe.word_free += (late < 0 ? late + n_pe : late) + 1;
        if (layer.more) machine.writes.push_back(pe.word_free - 1);
    }
}

// The end of a pass over a tile, to all PEs; from when on the reader may read what follows. last: of the segment.
Time cast_end(Machine& machine, Layer& layer, const Segment& segment, bool last, Time available) {
    const Time first = std::max(available, machine.cast_before);
    const Time ready = std::max({first + 2, machine.cast + 1, machine.ended + 1});
    Time at = ready;
    for (Pe& pe : machine.pes) at = std::max(at, pe.places.peek(machine.hw.fifo_places));
    machine.hand_out(ready, ready, at);
    layer.turned = first;
    for (int64_t i = 0; i < machine.hw.n_pe; ++i) {
        Pe& pe = machine.pes[i];
        pe.next = 0;
        machine.follow(pe, at + 1);
        Time begin = std::max(at + 1, pe.free);
        if (segment.shape.close) begin = std::max(begin, pe.word_free);
        machine.wait(pe, pe.free + 1, std::min(at, begin));
        pe.counts[STALL_OUTPUT] += begin - std::max(at, pe.free);
        pe.places.push(begin + 1);
        pe.free = begin + 1;
        if (segment.shape.close) drain(machine, i, layer, begin);
        pe.counts[STALL_LIF] += pe.free - begin;
        if (last) {
            pe.ended = begin;
            for (int64_t w = 0; w < segment.header_words[i]; w += 4) pe.headers.freed.push(at + 1);
            for (int64_t w = 0; w < segment.value_words[i]; w += 4) pe.values.freed.push(begin + 1);
        }
    }
    return first + 2;
}

// A segment's passes, over one tile or all.
void run_segment(Machine& machine, Layer& layer, const Segment& segment, Time available) {
    const int64_t last = segment.shape.all_tiles ? layer.shape.tiles - 1 : layer.tile;
    for (; layer.tile <= last; ++layer.tile) {
        available = cast_list(machine, layer, segment, available);
        available = cast_end(machine, layer, segment, layer.tile == last, available);
    }
    for (int64_t w = 0; w < segment.shape.places; w += machine.hw.list_words)
        machine.list.freed.push(layer.turned + 1);
    if (!segment.shape.all_tiles && !segment.shape.close) {
        layer.tile = last;  // the next segment's too
    } else if (layer.tile == layer.shape.tiles) {
        layer.tile = 0;
        ++layer.group;
    }
    layer.wait_from = layer.turned + 1;
}

// When the layer ends: all words are out.
Time end_layer(Machine& machine, const Layer& layer) {
    Time done = 0;
    for (Pe& pe : machine.pes) done = std::max(done, pe.word_free + 1);
    const Time end = std::max(done, machine.results.free);
    machine.results.capture(end);
    for (Pe& pe : machine.pes) {
        pe.counts[STALL_LOAD] += layer.start - machine.ended - 1;
        pe.counts[STALL_OUTPUT] += end - pe.free;
        size_t w = 0;
        for (const Interval& gap : pe.gaps) {  // idle, where the caster did not wait for the program
            pe.counts[IDLE_CYCLES] += gap.to - gap.from + 1;
            while (w < machine.waits.size() && machine.waits[w].to < gap.from) ++w;
            for (size_t v = w; v < machine.waits.size() && machine.waits[v].from <= gap.to; ++v) {
                const Time both = std::min(gap.to, machine.waits[v].to) - std::max(gap.from, machine.waits[v].from) + 1;
                pe.counts[IDLE_CYCLES] -= both;
                pe.counts[STALL_LOAD] += both;
            }
        }
    }
    machine.counts[FINISH] += end - std::max(machine.cast, machine.ended);
    return end;
}

// A layer's segments, one after the other; the program moves on.
void run_segments(Machine& machine, Layer& layer, Program& program, int64_t*& positions, Next& next) {
    for (int64_t s = 0; s < layer.shape.segments; ++s) {
        const Segment segment = {*program.segments++, program.header_words, program.value_words, program.places,
                                 positions};
        const Time loaded = load(machine, segment, *program.early++, next);
        run_segment(machine, layer, segment, open_segment(machine, layer, segment, loaded, !s, program.headers));
        program.places += segment.shape.places;
        program.header_words += machine.hw.n_pe;
        program.value_words += machine.hw.n_pe;
        positions += machine.hw.n_pe;
    }
}

// Moves what was counted of a layer to where it is wanted.
void hand_over(Machine& machine, int64_t*& counters, int64_t*& caster) {
    const int64_t n_pe = machine.hw.n_pe;
    for (int64_t a = 0; a < ACCOUNT_COUNT; ++a)
        for (int64_t i = 0; i < n_pe; ++i) *counters++ = std::exchange(machine.pes[i].counts[a], 0);
    for (int64_t& count : machine.counts) *caster++ = std::exchange(count, 0);
}

}  // namespace

// Programs one after the other, `count` of them, the first one's input in the buffer in cycle -1. The next one's input
// comes as `early` says, or behind its header.
//
// programs: where each one's part of what follows begins, up to `early`. shapes: of all layers. tiles: of all layers.
// reads: passes of a slice, (kinds, tiles) a layer, `kinds` of them. segments: of all layers.
// header_words, value_words: of each PE of each segment. places: of the lists of all segments. headers: their words.
// early: of each segment, channels of the next input. beats: of each of its rows, of all that come early.
// most, least: of each layer that runs, of each row of its costs, (rows, tiles): the positions of the bank that has most
// and least; sums: of all banks.
// Of each program: cycles: (layers). counters: (layers, ACCOUNT_COUNT, n_pe). caster: (layers, CASTER_COUNT).
// positions: (segments, n_pe). waited: from the end of the program before until its layers begin. latency: from the first
// beat of its input to its end.
extern "C" void uticket_event_cycles(
    const Hardware* hardware, const InputShape* input, int64_t count, int64_t kinds, const ProgramAt* programs,
    const LayerShape* shapes, const TileShape* tiles, const uint8_t* reads, const SegmentShape* segments,
    const int64_t* header_words, const int64_t* value_words, const Place* places, const uint16_t* headers,
    const int64_t* early, const int32_t* beats, const uint8_t* most, const uint8_t* least, const uint8_t* sums,
    int64_t* cycles, int64_t* counters, int64_t* caster, int64_t* positions, int64_t* waited, int64_t* latency) {
    Machine machine(*hardware);
    machine.ended = -1 - programs->input;
    Costs costs = {most, least, sums};
    Next next = {*input, beats};
    for (int64_t k = 0; k < count; ++k) {
        const ProgramAt& at = programs[k];
        const int64_t words = at.segment * hardware->n_pe;
        Program program = {tiles + at.tile,       reads + at.read,     segments + at.segment, header_words + words,
                           value_words + words, places + at.place, headers + at.header,   early + at.segment};
        Time came = next.arrived;
        next.comes = k + 1 < count && !programs[k + 1].input;
        next.begun = false;
        if (at.input) {  // in cycle ended + 1 its header, then its input
            came = machine.ended + 2;
            waited[k] = at.input;
            machine.ended += at.input;
            machine.results.input(machine.ended);
            machine.load = machine.ended + 1;
        } else {  // the program's header
            const Time begun = std::max(machine.ended + 1, ++machine.load);
            waited[k] = begun - machine.ended;
            machine.results.input(begun);
            machine.ended = begun;
        }
        for (int64_t l = 0; l < at.layers; ++l) {
            const LayerShape& shape = shapes[at.shape + l];
            const Time start = start_layer(machine, shape);
            Layer layer = {shape, program.tiles, program.reads, costs, next.comes, start};
            run_segments(machine, layer, program, positions, next);
            const Time end = end_layer(machine, layer);
            hand_over(machine, counters, caster);
            *cycles++ = end - machine.ended;
            machine.ended = end;
            program.tiles += shape.tiles;
            program.reads += kinds * shape.tiles;
            const int64_t size = shape.rows * shape.tiles;
            costs = {costs.most + size, costs.least + size, costs.sums + size};
        }
        latency[k] = machine.ended - came + 1;
    }
}
