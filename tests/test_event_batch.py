"""Late layers' weights loaded once for a batch of images: which layers, where maps lie, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sw.event.batch import Batch, batch_from, batched, layer_beats
from sw.event.program import EventProgram
from sw.limits import DoesNotFit
from tb.random_batches import CHAIN, WIDE, batches_of, random_batches
from tb.random_programs import Shape, build
from tests.test_event_cycles import CONFIGS, SMALL
from tests.test_event_overlap import words_of


def chain(shapes: tuple[Shape, ...] = CHAIN):
    """Layers on a map of 8 channels, 12x12."""
    return build(SMALL, shapes, side=12, channels=8)


def uses(program: EventProgram, *, image: int, since: int) -> set[int]:
    """Addresses that layers from `since` on read or write. image: its number in the batch, for the message."""
    found: set[int] = set()
    for layer in program.layers[since:]:
        for region in (*layer.inputs, layer.output):
            if region is not None:
                assert region.base + region.words <= program.config.buffer_depth, image
                found |= set(range(region.base, region.base + region.words))
    return found


def kept(batch: Batch, image: int) -> set[int]:
    """Addresses of an image's parts of the maps that late layers read and early ones write."""
    early, late = batch.programs[image].layers[: batch.resident], batch.layers
    read = {source.map for layer in late for source in layer.integer.layer.sources}
    regions = [layer.output for layer in early if layer.name in read and layer.output]
    return {a for region in regions for a in range(region.base, region.base + region.words)}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_what_late_layers_read_stays_until_they_do(config):
    several = 0
    for batches in random_batches(config, 12, max_side=16):
        batch = batches.batch
        if not batch.resident:
            continue
        for image in range(batch.size):
            mine = kept(batch, image)
            several += image > 0
            for other in range(image + 1, batch.size):
                program = batch.programs[other]
                early = replace(program, layers=program.layers[: batch.resident])
                assert not mine & uses(early, image=other, since=0), batches.name
            late = [region for layer in batch.layers for region in layer.inputs]
            assert mine <= {a for r in late for a in range(r.base, r.base + r.words)}, batches.name
    assert several > 5


def test_no_word_is_written_that_is_still_needed():
    """The next image's channels, in every program of a batch."""
    for shapes, size in ((CHAIN, 3), (WIDE, 3), (WIDE, 2)):
        batch = batch_from(chain(shapes).program, size, 3)
        assert batch.early
        for program, following in pairwise([*batch.programs, batch.programs[0]]):
            counts, sent = iter(program.early), 0
            for number, layer in enumerate(program.layers):
                for k in range(len(layer.segments)):
                    count = next(counts, 0)
                    came = words_of(following, sent, sent + count)
                    running = number if k >= program.config.segment_depth else max(number - 1, 0)
                    busy = uses(program, image=0, since=running)
                    assert not busy & {address for _, address in came}
                    sent += count
            assert sent == (8 if program.early else 0)


def test_inputs_come_early_as_far_as_the_buffer_has_room():
    """All of them, all but a batch's first, or none."""
    found = []
    for shapes, size in ((CHAIN, 3), (WIDE, 3), (CHAIN, 8)):
        batch = batch_from(chain(shapes).program, size, 3)
        found.append((batch.early, bool(batch.programs[-1].early)))
    assert found == [(True, True), (True, False), (False, False)]
    # Behind a second layer of two segments, which may be loaded while the first one still reads, only late layers had room.
    assert not batch_from(chain().program, 2, 2).early


def test_weights_are_loaded_once():
    case = chain()
    alone = sum(layer_beats(layer, case.program) for layer in case.program.layers)
    for first in range(4):
        try:
            batch = batch_from(case.program, 2, first)
        except DoesNotFit:
            continue
        early = sum(layer_beats(one, case.program) for one in case.program.layers[:first])
        late = len(case.program.layers) - first  # descriptors of three beats
        assert batch.beats == 2 * early + (alone - early) + late
        laid_out = sum(len(program.layer_beats) for program in batch.programs)
        assert batch.beats == laid_out
        names = [layer.name for layer in batch.programs[-1].layers]
        assert names == [layer.name for layer in case.program.layers]
        for number, layer in enumerate(batch.programs[-1].layers):
            late_one = number >= first
            assert (layer.descriptor.anew, layer.descriptor.rounds) == (late_one, 1 + late_one)


def test_parts_of_a_group_are_loaded_for_every_image():
    case = build(CONFIGS[0], (Shape(filters=6, density=1.0),), side=6, channels=40)
    (program,) = batch_from(case.program, 2, 0).programs
    (layer,), (single,) = program.layers, case.program.layers
    assert len(layer.segments) == 2 * len(single.segments)
    assert [segment.end for segment in layer.segments].count(True) == 1
    assert layer.segments[-1].end
    assert layer.segments[-1].close


def test_the_compiler_takes_the_fewest_beats_with_inputs_that_come_early():
    case = chain()
    fitting = []
    for first in range(4):
        try:
            fitting.append(batch_from(case.program, 2, first))
        except DoesNotFit:
            continue
    chosen = batched(case.program, 2)
    early = [batch for batch in fitting if batch.early]
    assert early
    assert len(early) < len(fitting)
    assert chosen.early
    assert chosen.beats == min(batch.beats for batch in early)
    assert chosen.beats > min(batch.beats for batch in fitting)


NO_ROOM = (
    r"a batch of 64 images: layer \w+: its map of 8 channels of 6x6 in 64 images needs \d+ bits of the spike buffer .*"
    r"; there are \d+\. A smaller batch"
)


def test_a_batch_that_cannot_be_is_told_why():
    case = chain()
    for size in (0, 1, 65):
        with pytest.raises(ValueError, match=f"a batch of {size} images; allowed: 2 to 64"):
            batched(case.program, size)
    with pytest.raises(DoesNotFit, match=NO_ROOM):
        batched(case.program, 64)
    slow = build(SMALL, CHAIN, side=6, channels=3, ticks=3)
    with pytest.raises(DoesNotFit, match="the network has 3 ticks; allowed: 2, as many as there"):
        batched(slow.program, 2)


def test_inputs_of_a_whole_batch_are_sent_at_once_where_all_layers_are_late():
    batches = batches_of(build(SMALL, CHAIN[:2], side=6, channels=3), 3, 0)
    (program,) = batches.batch.programs
    stored = program.stored(batches.batch.inputs(batches.images)[0])
    assert len(batches.batch.inputs(batches.images)) == 2
    own = np.concatenate(batches.images[:3], axis=1)
    assert np.array_equal(stored[:, :, :6, :6], own)
    with pytest.raises(ValueError, match="input spikes are"):
        program.stored(batches.images[0])
