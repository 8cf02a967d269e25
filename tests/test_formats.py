"""The examples of docs/formats.md run and print what the page says."""

import dataclasses
import doctest
from pathlib import Path

from sw import ticket
from sw.layers import Input, Layer, Source
from sw.ticket_metadata import MetadataV2
from sw.trained_neuron import TrainedNeuron
from tests.random_networks import random_ticket

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ticket.save(random_ticket(1), tmp_path / "ticket.npz")
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted > 25
    assert result.failed == 0


def test_every_metadata_field_is_documented():
    page = PAGE.read_text(encoding="utf-8")
    names = list(MetadataV2.model_fields)
    for kind in (Input, Layer, Source, TrainedNeuron):
        names += [field.name for field in dataclasses.fields(kind)]
    for name in names:
        assert f"`{name}`" in page, name
