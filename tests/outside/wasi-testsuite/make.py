"""Makes components.tar from a checkout of WebAssembly/wasi-testsuite (branch prod/testsuite-base), without the custom
sections of its programs: names and debug information, which are nineteen twentieths of them. Then: zstd -19 components.tar

    python3 make.py CHECKOUT components.tar
"""

import io
import pathlib
import sys
import tarfile


def number(data, at):
    """An unsigned LEB128 number at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def written(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def stripped(data):
    """The module or component, and what it holds, without custom sections."""
    is_component = data[6] == 1
    out, at = bytearray(data[:8]), 8
    while at < len(data):
        section = data[at]
        size, start = number(data, at + 1)
        at = start + size
        body = data[start:at]
        if section == 0:
            continue
        if is_component and section in (1, 4):  # a module, a component
            body = stripped(body)
        out += bytes([section]) + written(len(body)) + body
    return bytes(out)


checkout, output = map(pathlib.Path, sys.argv[1:])
with tarfile.open(output, "w", format=tarfile.USTAR_FORMAT) as archive:
    for path in sorted((checkout / "tests").glob("*/testsuite/*/*.wasm")):
        language, _, target, name = path.relative_to(checkout / "tests").parts
        data = stripped(path.read_bytes())
        item = tarfile.TarInfo(f"{target}/{language}-{name}")
        item.size = len(data)
        archive.addfile(item, io.BytesIO(data))
