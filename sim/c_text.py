"""C++ text of what Python and our C++ share, so that each list of fields or names is written once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

TYPES = {
    ctypes.c_int32: "int32_t",
    ctypes.c_int64: "int64_t",
    ctypes.c_uint64: "uint64_t",
    ctypes.c_uint32: "uint32_t",
    ctypes.c_char_p: "const char*",
    ctypes.POINTER(ctypes.c_uint8): "uint8_t*",
    ctypes.POINTER(ctypes.c_uint64): "uint64_t*",
}


def structs(*kinds: type[ctypes.Structure]) -> str:
    """The same structs in C++, field by field; their names are the Python classes'."""
    text = "#include <cstdint>\n"
    for kind in kinds:
        fields = "".join(f"    {TYPES[type_]} {name};\n" for name, type_, *_ in kind._fields_)
        text += f"struct {kind.__name__} {{\n{fields}}};\n"
    return text


def enum(name: str, members: Sequence[str]) -> str:
    """An enum of names in capitals, from 0 on, and how many they are: NAME_COUNT."""
    listed = ", ".join([*map(str.upper, members), f"{name.upper()}_COUNT"])
    return f"enum {name} {{ {listed} }};\n"
