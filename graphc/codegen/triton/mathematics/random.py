"""Random bits."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    """Four words for a counter c0..c3 and a key k0, k1: Philox4x32-10.

    After Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    for _ in tl.static_range(10):
        product_0 = c0.to(tl.uint64) * 0xD2511F53
        product_1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0, c1 = (product_1 >> 32).to(tl.uint32) ^ c1 ^ k0, product_1.to(tl.uint32)
        c2, c3 = (product_0 >> 32).to(tl.uint32) ^ c3 ^ k1, product_0.to(tl.uint32)
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3
'''
