# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""`models.identity.prediction_ids` in C: BLAKE2b (RFC 7693) of 16 bytes, without a key."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    object PyUnicode_New(Py_ssize_t, Py_UCS4)
    void* PyUnicode_DATA(object)

cdef enum:
    BLOCK = 128
    TEXT = 36

cdef uint64_t[8] START = [
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
]
cdef uint8_t[12][16] ORDER = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
]
cdef const char* DIGITS = b"0123456789abcdef"


cdef struct Digest:
    uint64_t[8] h
    uint64_t count
    Py_ssize_t filled
    uint8_t[BLOCK] block


def prediction_ids(str model, str slot, tenants not None, events not None):
    """See the plain form."""
    cdef Digest begun, one
    cdef list out = []
    cdef object before = None
    for tenant, event in zip(tenants, events, strict=True):
        if tenant is not before:
            before = tenant
            begin(&begun)
            add(&begun, tenant)
            add(&begun, model)
            add(&begun, slot)
        one = begun
        add(&one, event)
        out.append(text(&one))
    return out


cdef void begin(Digest* d) noexcept:
    memcpy(d.h, START, sizeof(START))
    d.h[0] ^= 0x01010000 ^ 16
    d.count = 0
    d.filled = 0


cdef int add(Digest* d, object part) except -1:
    """A part, led by its length."""
    cdef Py_ssize_t size
    cdef const char* raw = PyUnicode_AsUTF8AndSize(part, &size)
    cdef uint8_t[4] lead = [(size >> 24) & 255, (size >> 16) & 255, (size >> 8) & 255, size & 255]
    update(d, lead, 4)
    update(d, <const uint8_t*>raw, size)
    return 0


cdef void update(Digest* d, const uint8_t* raw, Py_ssize_t size) noexcept:
    cdef Py_ssize_t some
    while size:
        if d.filled == BLOCK:  # more comes, so it is not the last one
            d.count += BLOCK
            compress(d, 0)
            d.filled = 0
        some = min(size, <Py_ssize_t>BLOCK - d.filled)
        memcpy(&d.block[d.filled], raw, some)
        d.filled += some
        raw += some
        size -= some


cdef inline uint64_t turned(uint64_t word, int bits) noexcept:
    return (word >> bits) | (word << (64 - bits))


cdef inline void mix(uint64_t* v, int a, int b, int c, int d, uint64_t x, uint64_t y) noexcept:
    v[a] = v[a] + v[b] + x
    v[d] = turned(v[d] ^ v[a], 32)
    v[c] = v[c] + v[d]
    v[b] = turned(v[b] ^ v[c], 24)
    v[a] = v[a] + v[b] + y
    v[d] = turned(v[d] ^ v[a], 16)
    v[c] = v[c] + v[d]
    v[b] = turned(v[b] ^ v[c], 63)


cdef void compress(Digest* d, bint last) noexcept:
    cdef uint64_t[16] v, m
    cdef int place
    cdef const uint8_t* s
    memcpy(m, d.block, BLOCK)
    for place in range(8):
        v[place] = d.h[place]
        v[place + 8] = START[place]
    v[12] ^= d.count
    if last:
        v[14] = ~v[14]
    for place in range(12):
        s = ORDER[place]
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
    for place in range(8):
        d.h[place] ^= v[place] ^ v[place + 8]


cdef object text(Digest* d):
    """The digest, ended, written as a UUID."""
    cdef object out = PyUnicode_New(TEXT, 127)
    cdef char* at = <char*>PyUnicode_DATA(out)
    cdef const uint8_t* raw
    cdef int place
    memset(&d.block[d.filled], 0, BLOCK - d.filled)
    d.count += d.filled
    compress(d, 1)
    raw = <const uint8_t*>d.h
    for place in range(16):
        if place == 4 or place == 6 or place == 8 or place == 10:
            at[0] = c"-"
            at += 1
        at[0] = DIGITS[raw[place] >> 4]
        at[1] = DIGITS[raw[place] & 15]
        at += 2
    return out
