// Buffers as times, for both cycle models: when a place is free, when what was written can be read.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

using Time = int64_t;

struct Queue {  // of times, first in, first out
    std::vector<Time> times;
    size_t head = 0;
    void push(Time at) { times.push_back(at); }
    Time pop() { return times[head++]; }
    // Of the one `places` pushes ago: from when on a queue of so many places has room for one more.
    Time peek(size_t places) const { return times.size() < places ? 0 : times[times.size() - places]; }
};

struct Ring {  // a buffer whose places are taken in order, and freed in order
    int64_t left = 0;
    Queue freed;  // cycles from which a place can be taken again
    Time take(Time at) {
        if (left) {
            --left;
            return at;
        }
        return std::max(at, freed.pop());
    }
};

struct Headers {  // a queue: a memory of one place less than its depth, and a register behind it
    Ring places;
    Queue written;
    Time popped = -1;
    Time write(Time at) {
        at = places.take(at);
        written.push(at);
        return at;
    }
    Time pop(Time at) {
        const Time moved = std::max(written.pop() + 1, popped);  // from the memory to the register
        places.freed.push(moved + 1);
        popped = std::max(at, moved + 1);
        return popped;
    }
};

struct Results {  // the result stream: counters of the layer before, then accumulators
    int64_t counters, beats;
    Headers queue;
    Time free = 0;   // cycle from which the stream is free
    Time turn = -1;  // when the last result was taken in
    void capture(Time at) { free = at + 1 + counters; }
    void input(Time at) { free = std::max(free, at + 1) + 1; }  // the beat of a program's input, begun `at`
    Time put(Time at) {
        turn = queue.write(std::max(at, turn + 1));
        const Time first = std::max({free, queue.written.times.back() + 2, queue.popped + 1});
        free = queue.pop(first + beats - 1) + 1;
        return turn;
    }
};
