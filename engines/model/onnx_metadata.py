"""Read the metadata of an ONNX file without an inference runtime.

An ONNX file is one protobuf message, ModelProto (onnx.proto3). Only its top level is parsed here: the graph (field 7)
is skipped, and metadata_props (field 14, a map of strings to strings) are read.
"""

from collections.abc import Iterator

GRAPH_FIELD = 7
OPSET_IMPORT_FIELD = 8
METADATA_PROPS_FIELD = 14
KEY_FIELD = 1
VALUE_FIELD = 2
OPSET_DOMAIN_FIELD = 1
OPSET_VERSION_FIELD = 2

# Wire types of protobuf.
VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5

MAX_VARINT_BYTES = 10


def metadata_from_onnx(content: bytes) -> dict[str, str]:
    """Return the metadata_props of an ONNX file, given its whole content.

    Raises:
        ValueError: the content is cut off or is not an ONNX model.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    for field, payload in _fields(memoryview(content)):
        if field == GRAPH_FIELD:
            has_graph = True
        elif field == METADATA_PROPS_FIELD:
            entry = dict(_fields(payload))
            key, value = (str(entry.get(part, b""), "utf-8") for part in (KEY_FIELD, VALUE_FIELD))
            metadata[key] = value
    if not has_graph:
        raise ValueError("contains no ONNX graph")
    return metadata


def opset_from_onnx(content: bytes) -> int:
    """Return the opset of an ONNX file, given its whole content; 0 if it names none.

    Raises:
        ValueError: the content is cut off or is not an ONNX model.
    """
    for field, payload in _fields(memoryview(content)):
        if field == OPSET_IMPORT_FIELD:
            entry = dict(_fields(payload))
            if str(entry.get(OPSET_DOMAIN_FIELD, b""), "utf-8") in ("", "ai.onnx"):
                return _varint(entry[OPSET_VERSION_FIELD], 0)[0] if OPSET_VERSION_FIELD in entry else 0
    return 0


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and payload of each field. The payload of an integer is its encoding."""
    start = 0
    while start < len(message):
        tag, start = _varint(message, start)
        field, wire_type = tag >> 3, tag & 7
        n_bytes = 0
        if wire_type == VARINT:
            n_bytes = _varint(message, start)[1] - start
        elif wire_type == LENGTH_DELIMITED:
            n_bytes, start = _varint(message, start)
        elif wire_type in (FIXED32, FIXED64):
            n_bytes = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"is not a protobuf message (wire type {wire_type})")
        if start + n_bytes > len(message):
            raise ValueError(f"ends {start + n_bytes - len(message)} bytes too early")
        yield field, message[start : start + n_bytes]
        start += n_bytes


def _varint(message: memoryview, start: int) -> tuple[int, int]:
    """Return the variable-length integer at `start`, and the position after it."""
    number = 0
    for i, byte in enumerate(message[start : start + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return number, start + i + 1
    raise ValueError("ends within a number, or is not a protobuf message")
