"""What happens to files on their way: flipped bits, lost ends, blocks in the wrong place."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, *originals: bytes) -> bytes:
    """One of the `originals` after one to four accidents."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = st.integers(0, max(len(data) - 1, 0))
        start, length = draw(place), draw(st.integers(1, 64))
        accident = draw(st.sampled_from(["flip", "overwrite", "lose", "truncate", "swap"]))
        if accident == "flip" and data:
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif accident == "overwrite":
            data[start : start + length] = draw(st.binary(min_size=1, max_size=8))
        elif accident == "lose":
            del data[start : start + length]
        elif accident == "truncate":
            del data[start:]
        elif accident == "swap":
            other = draw(place)
            data[start : start + length], data[other : other + length] = (
                data[other : other + length],
                data[start : start + length],
            )
    return bytes(data)
