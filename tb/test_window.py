"""The window reader against a plain shift of the map, zero outside, strided or a quarter."""

import cocotb
import numpy as np
import pytest

from hw.config import BANKS, MAX_SIDE
from hw.fetch import REQUEST
from hw.program import LAYER
from hw.window import LATENCY, WindowReader
from tb import maps
from tb.helpers import bits, config_of, lockstep, parameters, run


class Shifted:
    """Layers of one or two sources; each window comes LATENCY cycles after its request."""

    def __init__(self, dut, config, seed):
        self.dut, self.config = dut, config
        self.rng = np.random.default_rng(seed)
        self.coming: list[dict] = [{} for _ in range(LATENCY + 1)]
        self.words = [0] * BANKS
        self.reads = self.reading = 0  # banks that requests need: of this cycle's, of those before
        self.checked = self.age = 0
        self.banks: list[dict] = [{} for _ in range(BANKS)]

    def _map(self, side, channels):
        shape = (channels, side, side, self.config.ticks)
        return (self.rng.random(shape) < 0.5).astype(np.uint8)

    def _new_layer(self):
        rng, config = self.rng, self.config
        limit = int(rng.choice([config.small_side, config.tile_side, 24, MAX_SIDE]))
        side = int(rng.integers(1, limit + 1))
        kernel, stride = int(rng.choice([1, 3])), int(rng.integers(1, 3))
        self.padding = int(rng.integers(2)) if kernel == 3 else 0
        if side + 2 * self.padding < kernel:
            self.padding = 1
        self.kernel = kernel
        self.side = (side + 2 * self.padding - kernel) // stride + 1
        self.sources = [(self._map(side, 3), stride)]
        if rng.random() < 0.4:  # a shortcut of the same output side, strided or not
            other = int(rng.integers(1, 3))
            shortcut = min(self.side * other - int(rng.integers(other)), MAX_SIDE)
            other = 1 if other == 2 and -(-shortcut // 2) != self.side else other
            shortcut = self.side if other == 1 else shortcut
            self.sources.append((self._map(shortcut, 2), other))
        self.half = any(stride == 2 for _, stride in self.sources)
        self.fast = all(m.shape[1] <= config.small_side for m, _ in self.sources)
        self.banks = [{} for _ in range(BANKS)]
        bases = [0, 2000]
        for (spikes, _), base in zip(self.sources, bases, strict=False):
            maps.store(config, self.banks, spikes, base)
        fields = [
            {"base": base, "side": m.shape[1], "strided": stride == 2}
            for (m, stride), base in zip(self.sources, bases, strict=False)
        ]
        self.layer = {
            "channels": 3,
            "side": self.side,
            "half": self.half,
            "padded": self.padding == 1 or kernel == 1,
            "input": fields[0],
            "shortcut": fields[1] if len(fields) == 2 else {},
            "fast": self.fast,
        }

    def _request(self):
        """A random request and the window it must bring, with the positions that count."""
        rng, config = self.rng, self.config
        which = int(rng.integers(len(self.sources)))
        spikes, stride = self.sources[which]
        channel = int(rng.integers(len(spikes)))
        position = 4 if which or self.kernel == 1 else int(rng.integers(9))
        padding = 1 if which or self.kernel == 1 else self.padding
        block = config.tile_side // 2 if self.half else config.tile_side
        y, x = (int(v) for v in rng.integers(-(-self.side // block), size=2))
        cells = maps.window(
            config,
            spikes[channel],
            position=position,
            padding=padding,
            stride=stride,
            block=(y, x, block),
        )
        single = spikes.shape[1] <= config.tile_side
        self.reads += 1 if single else BANKS
        height, width = (min(block, self.side - v * block) for v in (y, x))
        request = {
            "channel": channel + (3 if which else 0),
            "position": position,
            "block_y": y,
            "block_x": x,
        }
        return request, cells[:height, :width]

    def inputs(self, rng):
        if not any(self.coming) and (self.age == 0 or rng.random() < 0.5):
            self._new_layer()
            self.age = 40
        valid, requests, expected = 0, [0] * BANKS, {}
        self.reading, self.reads = self.reads, 0
        if self.age > LATENCY + 1:
            ports = range(BANKS) if self.fast else [rng.randrange(BANKS)]
            for b in ports:
                if rng.random() < 0.7:
                    request, expected[b] = self._request()
                    valid |= 1 << b
                    requests[b] = bits(REQUEST, request)
        self.age -= self.age > 0
        self.coming = [*self.coming[1:], expected]
        return {
            "layer": bits(LAYER, self.layer),
            "valid": valid,
            "requests": sum(r << (REQUEST.size * b) for b, r in enumerate(requests)),
            "words": sum(w << (self.config.word_bits * b) for b, w in enumerate(self.words)),
        }

    def outputs(self, i):
        return {}

    def edge(self, i):
        config = self.config
        addresses, read = int(self.dut.address.value), int(self.dut.read.value)
        assert read.bit_count() == self.reading, f"{read:#x}: banks are read that nobody needs"
        for b in range(BANKS):
            address = addresses >> (12 * b) & 4095
            rubbish = int.from_bytes(self.rng.bytes(config.word_bits // 8))
            self.words[b] = self.banks[b].get(address, 0) if read >> b & 1 else rubbish
        windows = int(self.dut.windows.value)
        for b, cells in self.coming[0].items():
            word = windows >> (config.word_bits * b)
            raw = [word >> k & 1 for k in range(config.word_bits)]
            seen = np.array(raw).reshape(config.tile_side, config.tile_side, config.ticks)
            seen = seen[: cells.shape[0], : cells.shape[1]]
            assert np.array_equal(seen, cells), f"port {b}, {self.layer}:\n{seen}\n{cells}"
            self.checked += 1
        self.coming[0] = {}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def shifted(dut):
    case = parameters()
    model = Shifted(dut, config_of(case["preset"]), case["seed"])
    await lockstep(dut, model, case["cycles"])
    assert model.checked > case["cycles"] // 3


@pytest.mark.parametrize(("preset", "cycles"), [("tiny", 6000), ("paper", 3000)])
def test_window(preset, cycles):
    component = WindowReader(config_of(preset))
    run(component, "window", "shifted", preset, preset=preset, cycles=cycles)
