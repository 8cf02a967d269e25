"""Archives that are damaged or made to harm: one line, and nothing large is allocated."""

import io
import json
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sim.models.masks import load_masks
from sw import ticket as tickets
from sw.archive import Unreadable, opened
from tests.random_networks import random_ticket


def header(shape, kind="<f8"):
    """The first bytes of an .npy file that claims a shape."""
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def packed(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def array(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def read_all(path):
    with opened(path) as archive:
        return {name: archive[name] for name in archive.names}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header((1 << 31, 64)), "a: float64 (2147483648, 64) in 0 bytes"),
        (header((-1, -8)), "a: float64 (-1, -8)"),
        (header((2,), "|O") + b"12345678" * 2, "a: it holds Python objects"),
        (header("(" * 3000 + ")" * 3000), "a: "),
        (header("9" * 5000), "a: "),
        (header((2,), "<zz"), "a: "),
        (b"\x93NUMPY\x09\x09", "a: format (9, 9)"),
        (b"no array", "a: "),
        (b"", "a: "),
    ],
)
def test_headers_are_checked_before_anything_is_allocated(content, told, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable) as error:
        read_all(packed(tmp_path / "a.npz", [("a.npy", content)]))
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("a.npy", array(1)), ("a.npy", array(2))], "array 'a' is there twice"),
        ([("a.npy", array(1)), ("b", b"text")], "member 'b' is no array"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_are_checked_before_contents(members, told, tmp_path):
    with pytest.raises(Unreadable, match=told):
        read_all(packed(tmp_path / "a.npz", members))


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sw.archive.MAX_BYTES", 1 << 20)
    path = packed(tmp_path / "a.npz", [("a.npy", array(np.zeros(1 << 18)))], zipfile.ZIP_DEFLATED)
    with pytest.raises(Unreadable, match=r"2,097,2[0-9]+ bytes unpacked, allowed: 1,048,576"):
        read_all(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_anywhere_is_one_kind_of_error(compression, tmp_path):
    path = packed(tmp_path / "a.npz", [("a.npy", array(np.arange(500)))], compression)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 3):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]
        )
        try:
            read_all(path)
        except Unreadable as error:
            refused += "\n" not in str(error)
    assert refused > len(content) // 6


def test_files_that_never_end_are_not_read():
    for path in (Path("/dev/zero"), Path("/dev/urandom")):
        with pytest.raises(ValueError, match=r"zero|urandom"):
            load_masks(path)
        with pytest.raises(ValueError, match="no regular file"):
            tickets.load(path)


def with_metadata(path, change):
    """A good ticket whose metadata, a text, was changed."""
    tickets.save(random_ticket(1), path)
    arrays = read_all(path)
    arrays["metadata"] = np.array(change(str(arrays["metadata"])))
    np.savez(path, **arrays)
    return path


def put(**values):
    return lambda text: json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("{", '{"ticks": 4, ', 1), "key 'ticks' is given twice"),
        (lambda text: text.replace("{", '{"notes": ' + "[" * 9000 + "]" * 9000 + ", ", 1), "JSON"),
        (lambda text: text.replace("{", '{"nnz": ' + "9" * 5000 + ", ", 1), "JSON"),
        (lambda text: text.replace("{", '{"notes": {"a": 1e999}, ', 1), "1e999 is too large"),
        (lambda text: text.replace("{", '{"notes": {"a": "\\ud800"}, ', 1), "JSON"),
        (put(threshold=0.5), "metadata.threshold is no field of a ticket"),
        (put(reset="subtract"), "metadata.reset is no field of a ticket"),
        (put(mean=[0.5]), "metadata.mean is no field of a ticket"),
        (put(nnz=1e300), "metadata.nnz"),
    ],
)
def test_metadata_that_json_or_we_cannot_take_is_one_line(change, told, tmp_path):
    with pytest.raises(ValueError, match=r"a\.npz") as error:
        tickets.load(with_metadata(tmp_path / "a.npz", change))
    assert told in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("layers", -1, "filters"), 1 << 31, "a map of"),
        (("layers", -1, "filters"), 1 << 24, "weights', allowed: at most"),
        (("layers", 1, "sources", 0, "padding"), 1 << 31, "a map of"),
        (("input", "shape"), [1 << 31, 1 << 31, 1 << 31], "a map of"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_they_are_allocated(where, value, told, tmp_path):
    def change(text):
        content = json.loads(text)
        node = content
        for key in where[:-1]:
            node = node[key]
        node[where[-1]] = value
        if where[0] == "input":
            content["input"] |= {"mean": None, "std": None, "encoding": "spikes"}
        return json.dumps(content)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=told):
        tickets.load(with_metadata(tmp_path / "a.npz", change))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
