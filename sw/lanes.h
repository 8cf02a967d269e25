// Maps with LANES images innermost, as vectors: in from PyTorch's order, and back out.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {  // included once, into a file of functions that call each other

constexpr int64_t LANES = 16;
using Lanes = float __attribute__((vector_size(LANES * sizeof(float))));
using Words = uint32_t __attribute__((vector_size(LANES * sizeof(float))));

struct Shape {  // of a map: images, channels, height, width, border of zeros
    int64_t images, channels, height, width, border;

    int64_t blocks() const { return (images + LANES - 1) / LANES; }
    int64_t row() const { return (width + 2 * border) * LANES; }
    int64_t plane() const { return (height + 2 * border) * row(); }
};

struct Free {
    void operator()(float* memory) const { std::free(memory); }
};

// Lanes of zeros, aligned; kept by a thread's caller from one block to the next.
std::unique_ptr<float[], Free> zeros(int64_t count) {
    const size_t bytes = std::max<int64_t>(count, LANES) * sizeof(float);
    auto* memory = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (!memory) std::abort();
    std::memset(memory, 0, bytes);
    return std::unique_ptr<float[], Free>(memory);
}

Lanes& lanes(float* at) { return *reinterpret_cast<Lanes*>(at); }
const Lanes& lanes(const float* at) { return *reinterpret_cast<const Lanes*>(at); }

float widened(float value) { return value; }
float widened(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

Lanes widened(const float* at) {
    Lanes value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
Lanes widened(const uint16_t* at) {
    using Halves = uint16_t __attribute__((vector_size(LANES * sizeof(uint16_t))));
    Halves halves;
    std::memcpy(&halves, at, sizeof halves);
    return reinterpret_cast<Lanes>(__builtin_convertvector(halves, Words) << 16);
}

// To the nearest bfloat16, to even where two are as near. Infinities stay; no NaN keeps its payload.
void narrowed(Lanes value, uint16_t* at) {
    using Halves = uint16_t __attribute__((vector_size(LANES * sizeof(uint16_t))));
    const Words bits = reinterpret_cast<Words>(value);
    const Halves halves = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, Halves);
    std::memcpy(at, &halves, sizeof halves);
}
void narrowed(Lanes value, float* at) { std::memcpy(at, &value, sizeof value); }
void narrowed(float value, uint16_t* at) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    *at = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
void narrowed(float value, float* at) { *at = value; }

// Swap bit STEP of the numbers of two rows with that of their columns' numbers.
template <int STEP>
void swap_bit(Lanes& a, Lanes& b) {
    Words low, high;
    for (uint32_t i = 0; i < LANES; ++i) {
        low[i] = i & STEP ? LANES + i - STEP : i;
        high[i] = i & STEP ? LANES + i : i + STEP;
    }
    const Lanes first = __builtin_shuffle(a, b, low);
    b = __builtin_shuffle(a, b, high);
    a = first;
}

template <int STEP>
void swap_bit(Lanes* rows) {
    for (int i = 0; i < LANES; ++i)
        if (!(i & STEP)) swap_bit<STEP>(rows[i], rows[i + STEP]);
}

// Rows become columns.
void transpose(Lanes* rows) {
    swap_bit<1>(rows);
    swap_bit<2>(rows);
    swap_bit<4>(rows);
    swap_bit<8>(rows);
}

// Add every second of COUNT vectors to the one before, of which each lane with bit STEP then is that of the second.
template <int STEP, int COUNT>
void halve(Lanes* vectors) {
    for (int i = 0; i < COUNT; i += 2 * STEP) {
        swap_bit<STEP>(vectors[i], vectors[i + STEP]);
        vectors[i] += vectors[i + STEP];
    }
}

// A block of a map (B, H, W, C) in the order of this file. Lanes without an image, and the border, stay 0.
template <typename Value>
void pack(const Value* map, const Shape& shape, int64_t block, float* packed) {
    const int64_t count = std::min(LANES, shape.images - block * LANES);
    const int64_t image = shape.height * shape.width * shape.channels;
    const Value* first = map + block * LANES * image;
    if (count < LANES) std::memset(packed, 0, shape.channels * shape.plane() * sizeof(float));
    for (int64_t y = 0; y < shape.height; ++y)
        for (int64_t x = 0; x < shape.width; ++x) {
            const Value* from = first + (y * shape.width + x) * shape.channels;
            float* to = packed + (y + shape.border) * shape.row() + (x + shape.border) * LANES;
            int64_t c = 0;
            if (count == LANES)
                for (; c + LANES <= shape.channels; c += LANES) {
                    Lanes rows[LANES];
                    for (int i = 0; i < LANES; ++i) rows[i] = widened(from + i * image + c);
                    transpose(rows);
                    for (int i = 0; i < LANES; ++i) lanes(to + (c + i) * shape.plane()) = rows[i];
                }
            for (; c < shape.channels; ++c)
                for (int64_t i = 0; i < count; ++i)
                    to[c * shape.plane() + i] = widened(from[i * image + c]);
        }
}

// The way back, of sums (K, H, W, LANES) without a border.
template <typename Value>
void unpack(const float* sums, const Shape& shape, int64_t block, Value* map) {
    const int64_t count = std::min(LANES, shape.images - block * LANES);
    const int64_t positions = shape.height * shape.width, image = positions * shape.channels;
    Value* first = map + block * LANES * image;
    for (int64_t at = 0; at < positions; ++at) {
        Value* to = first + at * shape.channels;
        const float* from = sums + at * LANES;
        int64_t c = 0;
        if (count == LANES)
            for (; c + LANES <= shape.channels; c += LANES) {
                Lanes rows[LANES];
                for (int i = 0; i < LANES; ++i) rows[i] = lanes(from + (c + i) * positions * LANES);
                transpose(rows);
                for (int i = 0; i < LANES; ++i) narrowed(rows[i], to + i * image + c);
            }
        for (; c < shape.channels; ++c)
            for (int64_t i = 0; i < count; ++i)
                narrowed(from[c * positions * LANES + i], to + i * image + c);
    }
}

}  // namespace
