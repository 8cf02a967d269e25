// What the event machine's cycle model knows of the machine at a time, and how a program is loaded into it.

#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "queues.h"
#include "shared.h"  // the structs and accounts of sim/models/event_cycles.py

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

    // Whether its next slice is that of place k of the list.
    bool awaits(int64_t k) const { return next < slices.size() && slices[next].place == k; }
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
