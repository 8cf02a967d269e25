// How many positions each tap of a layer adds to in each bank, for each tile: sim/models/event_costs.py says what of.
// A row of a map is a number, a bit a column; a tap's positions of a tile are 64 bits, a byte a row.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "shared.h"  // struct Source, of event_costs.py

namespace {

using Row = unsigned __int128;  // bit c + MARGIN is column c: taps begin up to so many to the left of a map

constexpr int KERNEL = 9, CELLS = 8, MARGIN = 3, BLOCK = 3;

// What the taps see of channel `channel`: rows of it, active in any tick, every `step`th from (down, right) on.
void read_rows(const Source& source, const uint8_t* map, int64_t channel, int64_t step, int64_t down, int64_t right,
               std::vector<Row>& rows) {
    const int64_t plane = source.height * source.width;
    rows.clear();
    for (int64_t y = down; y < source.height; y += step) {
        Row row = 0;
        for (int64_t t = 0; t < source.ticks; ++t) {
            const uint8_t* cells = map + (t * source.channels + channel) * plane + y * source.width;
            for (int64_t x = right, bit = MARGIN; x < source.width; x += step, ++bit)
                row |= static_cast<Row>(cells[x] != 0) << bit;
        }
        rows.push_back(row);
    }
}

// Of one channel, taps from (down, right) of the kernel on: `most`, `least` and `sums` are the first of their nine rows.
void count(const Source& source, const std::vector<Row>& rows, int64_t down, int64_t right, const Tile* tiles,
           const uint64_t* banks, uint8_t* most, uint8_t* least, uint8_t* sums) {
    const int64_t height = static_cast<int64_t>(rows.size());
    const unsigned wide = (1u << (source.tile_side + 2)) - 1;
    for (int64_t k = 0; k < source.tiles; ++k) {
        const Tile& tile = tiles[k];
        unsigned seen[CELLS + 2];  // rows that the taps see of the tile
        for (int64_t i = 0; i < tile.height + 2; ++i) {
            const int64_t y = tile.y * source.tile_side + down - source.padding + i;
            const int64_t left = tile.x * source.tile_side + right + MARGIN - source.padding;
            seen[i] = y < 0 || y >= height ? 0 : static_cast<unsigned>(rows[y] >> left) & wide;
        }
        const uint64_t inside = (1ull << tile.width) - 1;
        for (int64_t tap = 0; tap < KERNEL; ++tap) {
            uint64_t mask = 0;
            for (int64_t y = 0; y < tile.height; ++y)
                mask |= (seen[y + tap / 3] >> (tap % 3) & inside) << (y * CELLS);
            int high = 0, low = 64, sum = 0;
            for (int64_t b = 0; b < source.banks; ++b) {
                const int found = std::popcount(mask & banks[b]);
                high = std::max(high, found);
                low = std::min(low, found);
                sum += found;
            }
            most[tap * source.tiles + k] = static_cast<uint8_t>(high);
            least[tap * source.tiles + k] = static_cast<uint8_t>(low);
            sums[tap * source.tiles + k] = static_cast<uint8_t>(sum);
        }
    }
}

}  // namespace

extern "C" {

// map: (ticks, channels, height, width). banks: the cells of each bank, a byte a row. most, least, sums: (beats,
// channels a beat, KERNEL, tiles), zeros where a beat has no such channel.
void uticket_event_costs(const Source* source, const uint8_t* map, const Tile* tiles, const uint64_t* banks,
                         uint8_t* most, uint8_t* least, uint8_t* sums) {
    std::vector<Row> rows;
    const int64_t size = KERNEL * source->tiles;
    for (int64_t channel = 0; channel < source->channels; ++channel)
        for (int64_t phase = 0; phase < source->phases; ++phase) {
            read_rows(*source, map, channel, source->step, phase >> 1, phase & 1, rows);
            for (int64_t block = 0; block < source->blocks * source->blocks; ++block) {
                const int64_t down = BLOCK * (block / source->blocks), right = BLOCK * (block % source->blocks);
                count(*source, rows, down, right, tiles, banks, most, least, sums);
                most += size;
                least += size;
                sums += size;
            }
        }
}
}
