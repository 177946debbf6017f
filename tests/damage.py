"""What happens to files on their way: flipped bits, lost ends, blocks in the wrong place."""

from random import Random

from hypothesis import strategies as st


def accidents(random: Random, original: bytes) -> bytes:
    """The bytes after one to four accidents."""
    data = bytearray(original)
    for _ in range(random.randint(1, 4)):
        start, length = random.randint(0, max(len(data) - 1, 0)), random.randint(1, 64)
        accident = random.choice(["flip", "overwrite", "lose", "truncate", "swap"])
        if accident == "flip" and data:
            data[start] ^= 1 << random.randint(0, 7)
        elif accident == "overwrite":
            data[start : start + length] = random.randbytes(random.randint(1, 8))
        elif accident == "lose":
            del data[start : start + length]
        elif accident == "truncate":
            del data[start:]
        elif accident == "swap":
            other = random.randint(0, max(len(data) - 1, 0))
            data[start : start + length], data[other : other + length] = (
                data[other : other + length],
                data[start : start + length],
            )
    return bytes(data)


def damaged(*originals: bytes) -> st.SearchStrategy[bytes]:
    """One of the `originals` after accidents."""
    return st.builds(accidents, st.randoms(use_true_random=False), st.sampled_from(originals))
