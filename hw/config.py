"""One description of the hardware, with units, validated at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hw.neuron import NEURONS, SHIFTS, Neuron

MACHINES = ("sweep", "event")
WORD_BITS = 16  # a scratchpad word: one WSP header or one weight
STREAM_BITS = 64  # a beat of the program and result streams
STREAM_WORDS = STREAM_BITS // WORD_BITS
BANKS = 4  # of the spike buffer
LANES = 4  # of a PE, at most: ticks at once
MAX_SIDE = 64  # of a map, in positions


@dataclass(frozen=True, kw_only=True)
class Config:
    """Parameters of the array. Raises ValueError where one is out of range, naming it."""

    n_pe: int = 16
    """PEs; a group is as many filters."""
    ticks: int = 4
    """Timesteps, 1 to 4; also the lanes of a PE: each lane is one tick's AND gate and accumulators. Machine `event` runs
    networks of more ticks in rounds of as many."""
    tile_side: int = 8
    """Side of a tile, in positions, 4 or 8; a PE has tile_side^2 accumulators a lane."""
    scratchpad_depth: int = 1024
    """16-bit words of a PE's weight ring; a power of two, 32 to 1024."""
    weight_bits: int = 16
    """16, 8 or 4; narrower weights are stored one a word, sign-extended."""
    accumulator_bits: int = 24
    """Of accumulators and membrane potentials, 16 to 24."""
    leak_mode: str = "shift"
    """The neuron of machine `sweep`, by its name in hw/neuron.py. A tick leaves of a potential u: "shift" u >>> leak_shift,
    "complement" u - (u >>> leak_shift), "none" u. Machine `event` is told each layer's by the program: of several whose
    leaks are equal this one."""
    leak_shift: int = 2
    """Bits; 1 to 8."""
    buffer_depth: int = 512
    """Words of each of the four spike buffer banks; a power of two. A word is one tile of all ticks."""
    queue_depth: int = 8
    """Filter headers a PE holds ahead of its sweep; a power of two, 4 to 64. Machine `sweep` only."""
    machine: str = "sweep"
    """`sweep`, the paper's array, or `event`, which visits active positions only (docs/event.md)."""
    banks: int = 8
    """Of a PE's accumulators, 1, 4 or 8: positions it adds to in a cycle. Machine `event` only, as what follows."""
    fifo_depth: int = 4
    """Slices a PE holds, 2 to 8: how far it may fall behind the caster."""
    stream_bits: int = 256
    """Of a beat of the program, 64, 128 or 256: one, two or four PEs' words side by side."""
    segment_depth: int = 4
    """Segments whose headers the caster and the PEs hold ahead; a power of two, 4 to 64."""
    lifs: int = 2
    """LIF pipelines of a PE, 1 or 2 (2 with several banks): neurons a cycle."""

    def __post_init__(self) -> None:
        def require(name: str, allowed: bool, text: str) -> None:
            if not allowed:
                raise ValueError(f"hardware: {name} = {getattr(self, name)!r}, allowed: {text}")

        def power_of_two(value: int) -> bool:
            return value > 0 and value & (value - 1) == 0

        for name, value in asdict(self).items():
            if name not in ("leak_mode", "machine") and (
                isinstance(value, bool) or not isinstance(value, int)
            ):
                raise ValueError(f"hardware: {name} = {value!r}, allowed: a whole number")
            if name in ("leak_mode", "machine") and not isinstance(value, str):
                raise ValueError(f"hardware: {name} = {value!r}, allowed: a name")
        require("n_pe", 1 <= self.n_pe <= 64, "1 to 64")
        require("ticks", 1 <= self.ticks <= LANES, f"1 to {LANES}")
        require("tile_side", self.tile_side in (4, 8), "4 or 8")
        require(
            "scratchpad_depth",
            power_of_two(self.scratchpad_depth) and 32 <= self.scratchpad_depth <= 1024,
            "a power of two from 32 to 1024",
        )
        require("weight_bits", self.weight_bits in (4, 8, 16), "4, 8 or 16")
        require("accumulator_bits", 16 <= self.accumulator_bits <= 24, "16 to 24")
        require("leak_mode", self.leak_mode in NEURONS, ", ".join(NEURONS))
        require("leak_shift", self.leak_shift in SHIFTS, f"{SHIFTS[0]} to {SHIFTS[-1]}")
        require(
            "buffer_depth",
            power_of_two(self.buffer_depth) and 16 <= self.buffer_depth <= 4096,
            "a power of two from 16 to 4096",
        )
        require(
            "queue_depth",
            power_of_two(self.queue_depth) and 4 <= self.queue_depth <= 64,
            "a power of two from 4 to 64",
        )
        require(
            "segment_depth",
            power_of_two(self.segment_depth) and 4 <= self.segment_depth <= 64,
            "a power of two from 4 to 64",
        )
        require("machine", self.machine in MACHINES, ", ".join(MACHINES))
        require("banks", self.banks in (1, 4, 8), "1, 4 or 8")
        require("fifo_depth", 2 <= self.fifo_depth <= 8, "2 to 8")
        require("stream_bits", self.stream_bits in (64, 128, 256), "64, 128 or 256")
        most = 1 if self.banks == 1 else 2
        require("lifs", 1 <= self.lifs <= most, f"1 to {most} with {self.banks} banks")
        event = self.machine == "event"
        require(
            "scratchpad_depth",
            not event or self.scratchpad_depth >= 128,
            "128 to 1024, machine event",
        )

    @property
    def lanes(self) -> int:
        """(tick, position) pairs a PE visits in a cycle: one position, every tick."""
        return self.ticks

    @property
    def positions(self) -> int:
        """Positions of a tile."""
        return self.tile_side**2

    @property
    def accumulators(self) -> int:
        """Accumulators of a PE, over all lanes."""
        return self.positions * self.lanes

    @property
    def small_side(self) -> int:
        """Maps up to this side are packed four channels a word, with a copy in every bank."""
        return self.tile_side // 2

    @property
    def word_bits(self) -> int:
        """Bits of a spike buffer word: a tile, all ticks; bit ((y * tile_side + x) * ticks + t)."""
        return self.positions * self.ticks

    @property
    def scratchpad_rows(self) -> int:
        """Beats that fit a PE's weight ring."""
        return self.scratchpad_depth // STREAM_WORDS

    @property
    def neuron(self) -> Neuron:
        """What a tick does to a potential."""
        return NEURONS[self.leak_mode](self.leak_shift)

    def to_dict(self) -> dict:
        """All fields, and the derived ones that reports show."""
        return {**asdict(self), "lanes": self.lanes, "accumulators": self.accumulators}


PRESETS = {
    "paper": Config(),
    # As many PEs, lanes and words of spikes as `paper`, on tiles of 4x4: a quarter of its wires. A LUT RAM
    # has 16 rows.
    "compact": Config(tile_side=4, buffer_depth=2048, queue_depth=16),
    "tiny": Config(
        n_pe=4, ticks=2, tile_side=4, scratchpad_depth=64, buffer_depth=128, queue_depth=4
    ),
}
