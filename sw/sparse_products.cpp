// The three products of a pruned convolution in training: sums, gradient of the input, gradient of the
// weights that are present. Stride 1, zeros around, maps of the same size before and behind.
//
// LANES images are innermost, as float32: a map is (C, H + 2P, W + 2P, LANES), so that a weight is one
// factor for whole vectors, and a tap is an offset. PyTorch's maps are (B, H, W, C), bfloat16 or float32;
// a block of LANES images is turned into this order, and back, in a thread's own memory.

#include <thread>
#include <vector>

#include "lanes.h"

namespace {

// Weights by chunk of the map's channels, then by filter: those of filter k in chunk i are first[i filters + k]
// to first[i filters + k + 1] - 1. offset: in a packed map, for the output position (0, 0). value: as trained.
// More than one chunk: so few channels that a tile of them stays in the nearest cache.
struct Weights {
    int64_t filters, chunks;
    const int64_t* first;
    const int64_t* offset;
    const float* value;

    int64_t count() const { return first[chunks * filters]; }
};

constexpr int64_t TILE = 8;  // columns of a tile

// Sums of one filter at ROWS x COLUMNS positions, held in registers while its weights of a chunk go by.
template <int ROWS, int COLUMNS>
void add_tile(const Weights& w, int64_t chunk, int64_t k, const float* map, int64_t row, float* sums, int64_t width) {
    Lanes total[ROWS][COLUMNS] = {};
    if (chunk)
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < COLUMNS; ++c) total[r][c] = lanes(sums + (r * width + c) * LANES);
    const int64_t* first = w.first + chunk * w.filters + k;
    for (int64_t j = first[0]; j < first[1]; ++j) {
        const float* from = map + w.offset[j];
        const Lanes value = w.value[j] - Lanes{};
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < COLUMNS; ++c) total[r][c] += value * lanes(from + r * row + c * LANES);
    }
    for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < COLUMNS; ++c) lanes(sums + (r * width + c) * LANES) = total[r][c];
}

// All filters' sums of a tile whose first position is (y, x). They visit the same inputs, which stay in the cache.
template <int ROWS, int COLUMNS>
void add_tiles(const Weights& w, const float* map, const Shape& shape, int64_t y, int64_t x, float* sums) {
    const float* from = map + y * shape.row() + x * LANES;
    for (int64_t chunk = 0; chunk < w.chunks; ++chunk)
        for (int64_t k = 0; k < w.filters; ++k) {
            float* to = sums + ((k * shape.height + y) * shape.width + x) * LANES;
            add_tile<ROWS, COLUMNS>(w, chunk, k, from, shape.row(), to, shape.width);
        }
}

// Sums (K, H, W, LANES) of a packed map.
void convolve(const Weights& w, const float* map, const Shape& shape, float* sums) {
    int64_t y = 0;
    if (shape.width == 4)
        for (; y + 2 <= shape.height; y += 2) add_tiles<2, 4>(w, map, shape, y, 0, sums);
    else if (shape.width == 2)
        for (; y + 2 <= shape.height; y += 2) add_tiles<2, 2>(w, map, shape, y, 0, sums);
    for (; y < shape.height; ++y) {
        int64_t x = 0;
        for (; x + TILE <= shape.width; x += TILE) add_tiles<1, TILE>(w, map, shape, y, x, sums);
        for (; x + 2 <= shape.width; x += 2) add_tiles<1, 2>(w, map, shape, y, x, sums);
        for (; x < shape.width; ++x) add_tiles<1, 1>(w, map, shape, y, x, sums);
    }
}

// Add the lanes of each of COUNT vectors, 1, 2, 4 or 8, to its float.
template <int COUNT>
void add_lanes(Lanes* vectors, float* to) {
    if constexpr (COUNT == 8) {
        halve<1, COUNT>(vectors);
        halve<2, COUNT>(vectors);
        halve<4, COUNT>(vectors);
        for (int i = 0; i < COUNT; ++i) to[i] += vectors[0][i] + vectors[0][i + COUNT];
    } else {
        for (int i = 0; i < COUNT; ++i)
            for (int lane = 0; lane < LANES; ++lane) to[i] += vectors[i][lane];
    }
}

// A tile of a packed map and of the packed gradients of one filter's sums.
struct Pair {
    const float* map;
    const float* outer;
    int64_t row, rows, columns;
};

// Add to `gradient` of COUNT weights of one filter: the products of their inputs and its sums' gradients.
template <int COUNT>
void add_gradient(const int64_t* offset, const Pair& tile, float* gradient) {
    Lanes total[COUNT] = {};
    for (int64_t y = 0; y < tile.rows; ++y)
        for (int64_t x = 0; x < tile.columns; ++x) {
            const int64_t at = y * tile.row + x * LANES;
            const Lanes of_sum = lanes(tile.outer + at);
            for (int i = 0; i < COUNT; ++i) total[i] += of_sum * lanes(tile.map + offset[i] + at);
        }
    add_lanes<COUNT>(total, gradient);
}

// Of a packed map and packed gradients of sums, both with borders.
void weight_gradient(const Weights& w, const float* map, const Shape& shape, const float* outer,
                     float* gradient) {
    const int64_t row = shape.row(), inside = shape.border * (row + LANES);
    const int64_t columns = w.chunks > 1 ? std::min(TILE, shape.width) : shape.width;
    const int64_t rows = w.chunks > 1 ? 2 : std::max<int64_t>(1, 64 / shape.width);
    for (int64_t y = 0; y < shape.height; y += rows)
        for (int64_t x = 0; x < shape.width; x += columns)
            for (int64_t i = 0; i < w.chunks * w.filters; ++i) {
                const int64_t k = i % w.filters, at = y * row + x * LANES, end = w.first[i + 1];
                const Pair tile = {map + at, outer + k * shape.plane() + inside + at, row,
                                   std::min(rows, shape.height - y), std::min(columns, shape.width - x)};
                int64_t j = w.first[i];
                for (; j + 8 <= end; j += 8) add_gradient<8>(w.offset + j, tile, gradient + j);
                for (; j + 4 <= end; j += 4) add_gradient<4>(w.offset + j, tile, gradient + j);
                for (; j + 2 <= end; j += 2) add_gradient<2>(w.offset + j, tile, gradient + j);
                for (; j < end; ++j) add_gradient<1>(w.offset + j, tile, gradient + j);
            }
}

// work(thread, block) of all blocks, on so many threads.
template <typename Work>
void share_out(int64_t blocks, int64_t threads, const Work& work) {
    const auto own = [&](int64_t thread) {
        for (int64_t block = thread; block < blocks; block += threads) work(thread, block);
    };
    std::vector<std::thread> others;
    for (int64_t thread = 1; thread < threads; ++thread) others.emplace_back(own, thread);
    own(0);
    for (auto& other : others) other.join();
}

template <typename Value>
void forward(const Weights& w, const Value* map, const Shape& shape, Value* out, int64_t threads) {
    Shape behind = shape;
    behind.channels = w.filters;
    std::vector<std::unique_ptr<float[], Free>> packed(threads), sums(threads);
    share_out(shape.blocks(), threads, [&](int64_t thread, int64_t block) {
        if (!packed[thread]) {
            packed[thread] = zeros(shape.channels * shape.plane());
            sums[thread] = zeros(w.filters * shape.height * shape.width * LANES);
        }
        pack(map, shape, block, packed[thread].get());
        convolve(w, packed[thread].get(), shape, sums[thread].get());
        unpack(sums[thread].get(), behind, block, out);
    });
}

// turned: the weights by channel, of the gradient of the input; its filters are 0 where that is not wanted.
template <typename Value>
void backward(const Weights& w, const Weights& turned, const Value* map, const Value* outer, const Shape& shape,
              Value* of_map, float* of_weights, int64_t threads) {
    Shape behind = shape;
    behind.channels = w.filters;
    const int64_t count = w.count();
    std::vector<std::unique_ptr<float[], Free>> packed(threads), gradients(threads), sums(threads), own(threads);
    share_out(shape.blocks(), threads, [&](int64_t thread, int64_t block) {
        if (!packed[thread]) {
            packed[thread] = zeros(shape.channels * shape.plane());
            gradients[thread] = zeros(w.filters * shape.plane());
            sums[thread] = zeros(shape.channels * shape.height * shape.width * LANES);
            own[thread] = zeros((count + LANES - 1) / LANES * LANES);
        }
        pack(map, shape, block, packed[thread].get());
        pack(outer, behind, block, gradients[thread].get());
        weight_gradient(w, packed[thread].get(), shape, gradients[thread].get(), own[thread].get());
        if (!turned.filters) return;
        convolve(turned, gradients[thread].get(), shape, sums[thread].get());
        unpack(sums[thread].get(), shape, block, of_map);
    });
    std::fill(of_weights, of_weights + count, 0.0f);
    for (const auto& part : own)
        if (part)
            for (int64_t j = 0; j < count; ++j) of_weights[j] += part[j];
}

}  // namespace

// Shapes and pointers as sw/sparse_convolution.py has them. half: maps are bfloat16, else float32.
extern "C" void sparse_forward(const Shape* shape, const Weights* w, int64_t half, const void* map, void* out,
                               int64_t threads) {
    threads = std::clamp<int64_t>(threads, 1, std::max<int64_t>(shape->blocks(), 1));
    if (half)
        forward(*w, static_cast<const uint16_t*>(map), *shape, static_cast<uint16_t*>(out), threads);
    else
        forward(*w, static_cast<const float*>(map), *shape, static_cast<float*>(out), threads);
}

extern "C" void sparse_backward(const Shape* shape, const Weights* w, const Weights* turned, int64_t half,
                                const void* map, const void* outer, void* of_map, float* of_weights,
                                int64_t threads) {
    threads = std::clamp<int64_t>(threads, 1, std::max<int64_t>(shape->blocks(), 1));
    if (half)
        backward(*w, *turned, static_cast<const uint16_t*>(map), static_cast<const uint16_t*>(outer), *shape,
                 static_cast<uint16_t*>(of_map), of_weights, threads);
    else
        backward(*w, *turned, static_cast<const float*>(map), static_cast<const float*>(outer), *shape,
                 static_cast<float*>(of_map), of_weights, threads);
}
