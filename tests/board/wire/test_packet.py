"""The frame: whatever is damaged is noticed, and the next frame is never lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.wire.messages import MAX_PAYLOAD_BYTES
from parfocal.board.wire.packet import MAX_FRAME_BYTES, Packet, StreamDecoder, encode

BYTE = st.integers(0, 255)
WORD = st.integers(0, 65535)
PACKETS = st.builds(Packet, BYTE, BYTE, BYTE, WORD, WORD, st.binary(max_size=MAX_PAYLOAD_BYTES), BYTE)


@given(PACKETS)
def test_a_packet_survives_the_wire_within_the_frame_size(packet: Packet) -> None:
    frame = encode(packet)
    assert len(frame) <= MAX_FRAME_BYTES
    assert frame[0] == frame[-1] == 0
    assert 0 not in frame[1:-1]
    assert StreamDecoder().feed(frame) == [packet]


@given(st.lists(PACKETS, max_size=5), st.data())
def test_packets_arrive_whatever_the_chunks(packets: list[Packet], data: st.DataObject) -> None:
    stream = b"".join(encode(packet) for packet in packets)
    decoder, received = StreamDecoder(), []
    while stream:
        n_bytes = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:n_bytes])
        stream = stream[n_bytes:]
    assert received == packets
    assert (decoder.errors.crc_errors, decoder.errors.framing_errors) == (0, 0)


@given(PACKETS, st.integers(0, 8 * MAX_FRAME_BYTES - 1))
def test_a_flipped_bit_never_passes_for_a_packet(packet: Packet, bit: int) -> None:
    damaged = bytearray(encode(packet))
    bit %= 8 * len(damaged)
    damaged[bit // 8] ^= 1 << bit % 8
    received = StreamDecoder().feed(bytes(damaged) + b"\0")
    # A damaged delimiter leaves the packet whole between two others; nothing else may come through.
    assert received in ([], [packet])
    assert received == [] or bit // 8 in (0, len(damaged) - 1)


@given(st.binary(max_size=300), PACKETS)
def test_the_frame_after_noise_is_received(noise: bytes, packet: Packet) -> None:
    decoder = StreamDecoder()
    decoder.feed(noise)
    assert decoder.feed(encode(packet)) == [packet]


@pytest.mark.parametrize(
    ("damaged", "crc_errors", "framing_errors"),
    [
        pytest.param(b"\0" * 9, 0, 0, id="nothing_between_delimiters"),
        pytest.param(b"\x01\x02\x03\0", 0, 1, id="no_cobs"),
        pytest.param(b"\x03ab\0", 0, 1, id="too_short"),
        pytest.param(b"\x01" * 63 + b"\0", 0, 1, id="too_long"),
        pytest.param(b"\x0e" + b"a" * 13 + b"\0", 1, 0, id="wrong_crc"),
    ],
)
def test_damage_is_counted_by_its_kind(damaged: bytes, crc_errors: int, framing_errors: int) -> None:
    decoder = StreamDecoder()
    assert decoder.feed(damaged) == []
    assert (decoder.errors.crc_errors, decoder.errors.framing_errors) == (crc_errors, framing_errors)


def test_endless_noise_without_a_delimiter_takes_no_memory() -> None:
    decoder = StreamDecoder()
    for _ in range(1000):
        decoder.feed(b"\xa5" * 1000)
    assert len(decoder._tail) <= MAX_FRAME_BYTES
    packet = Packet(1, 2, 0, 3, 4)
    assert decoder.feed(encode(packet)) == [packet]
    assert decoder.errors.framing_errors == 1


def test_a_payload_that_fits_no_frame_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="payload of 50 bytes: at most 49"):
        encode(Packet(1, 2, 0, 3, 4, bytes(50)))
    with pytest.raises(ValueError, match="cannot be sent"):
        encode(Packet(1, 2, 0, 70000, 4))
