"""What either machine must survive: a reset anywhere in a program, and any bits of it flipped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from hw.loader import Error
from sim.rtl.harness import Rtl, RtlError
from tb.random_programs import Case


def resets(rtl: Rtl, case: Case) -> Iterator[int]:
    """Run a case again and again, each time reset in another cycle, which is yielded: often in the first 40 cycles."""
    beats = case.program.beats(case.spikes)
    total = rtl.run(case.program, case.spikes, max_cycles=100_000).cycles
    for reset_at in [*range(1, 40, 7), *range(40, total - 1, max(total // 17, 1))]:
        rtl.run_beats(
            beats,
            len(beats) - 1,
            max_cycles=total + 100,
            max_results=1000,
            max_buffers=9,
            reset_at=reset_at,
        )
        yield reset_at


def flip_bits(rtl: Rtl, programs: Sequence[np.ndarray], count: int, below: Sequence[int]) -> None:
    """Run `count` of the programs with up to three random bits flipped.

    programs: beats, uint64 (N,) or (N, lanes). below: a flipped bit is below one of these. Raises AssertionError where the
    array hangs, and unless each error came that such a stream can have.
    """
    rng, endings = np.random.default_rng(1), Counter[str]()
    for number in range(count):
        beats = programs[number % len(programs)].copy()
        lowest = beats if beats.ndim == 1 else beats[:, 0]
        for _ in range(rng.integers(1, 4)):
            bit = rng.choice(below)
            lowest[rng.integers(len(lowest))] ^= np.uint64(1 << int(rng.integers(bit)))
        said = ""
        try:
            rtl.run_beats(
                beats, len(beats) - 1, max_cycles=500_000, max_results=1000, max_buffers=9
            )
        except RtlError as error:
            said = str(error)
        raised = re.search(r"raised error (\w+)", said)
        assert raised or not said, f"program {number}: {said}"
        endings[raised[1] if raised else "ended"] += 1
    late = Error.NONE, Error.LAST_LATE  # whose stream ends with `last` is never late
    assert all(endings[error.name] for error in Error if error not in late), endings
