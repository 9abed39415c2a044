# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Boosted trees in C: the margins of a few rows for what a call of XGBoost takes to begin, and Shapley values.

The sums of margins are XGBoost's own to the last bit: 32-bit floats, first the base, then a leaf of each tree in the order of the
trees. See models.classifiers.boosted.
"""

from libc.math cimport NAN, fabs, logf
from libc.stdint cimport int32_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc

import numpy as np

cdef enum:
    ABREAST = 16  # rows that go down a tree together: their ways are independent, so a processor follows them at once
    MOST_POINTS = 16
    MOST_NODES = 65_535
    MOST_FEATURES = 32_767
    MOST_TERMS = 2 * MOST_POINTS  # of a leaf

POINTS = MOST_POINTS
"""Of `shapley`."""

cdef double REACH = np.finfo(np.float32).max


cdef struct Node:  # of 8 bytes, so that the models of many tenants stay near
    float limit      # a row goes right unless its value is less; of a leaf its value
    uint16_t left    # where the left child is in its tree, the right one behind it; a leaf leads to itself
    uint16_t field   # twice the feature's place, one more where a missing value goes right; a leaf asks for what no row has


cdef struct Tree:
    Py_ssize_t root
    int depth


cdef class Trees:
    """Trees laid out anew, breadth first.

    Args:
        trees: of each tree (left, right, feature, limit, default_left), one entry for each node; a leaf has -1 for a
            child and its value for a limit. They must be trees: nobody looks again.
        prior: the probability before the first tree.
        features: in a row.

    Raises ValueError where a tree or a row is too large for this layout.
    """

    cdef Node* nodes
    cdef Tree* trees
    cdef int count, features
    cdef float base

    def __cinit__(self, list trees, float prior, int features):
        cdef Py_ssize_t whole = sum([len(each[0]) for each in trees]), at = 0, start, root, number, node
        cdef int32_t[::1] left, right, feature
        cdef float[::1] limit
        cdef unsigned char[::1] default
        cdef list row, below
        if features > MOST_FEATURES or any([len(each[0]) > MOST_NODES for each in trees]):
            raise ValueError(f"at most {MOST_FEATURES:,} features and {MOST_NODES:,} nodes of a tree")
        self.count = len(trees)
        self.features = features
        # As the library computes it; numpy's logarithm of 32 bits is another.
        self.base = -logf(<float>1.0 / prior - <float>1.0)
        self.nodes = <Node*>malloc(max(1, whole) * sizeof(Node))
        self.trees = <Tree*>malloc(max(1, self.count) * sizeof(Tree))
        if self.nodes == NULL or self.trees == NULL:
            raise MemoryError
        for number in range(self.count):
            left, right, feature, limit, default = trees[number]
            root = at
            self.trees[number] = Tree(root, 0)
            start, row = 1, [0]
            while True:
                below = []
                for node in row:
                    if left[node] < 0:
                        self.nodes[at] = Node(limit[node], <uint16_t>(at - root), <uint16_t>(2 * features))
                    else:
                        self.nodes[at] = Node(
                            limit[node], <uint16_t>start, <uint16_t>(2 * feature[node] + (not default[node]))
                        )
                        start += 2
                        below.append(left[node])
                        below.append(right[node])
                    at += 1
                if not below:
                    break
                self.trees[number].depth += 1
                row = below

    def __dealloc__(self):
        free(self.nodes)
        free(self.trees)

    def margins(self, const double[:, ::1] table not None, float[::1] out not None):
        """Put the margins of a table (rows, features) into `out` (rows,). What no 32-bit float holds counts as missing.

        Raises ValueError where they do not fit.
        """
        cdef Py_ssize_t rows = table.shape[0], width = table.shape[1], first = 0, row, place
        cdef int abreast
        cdef float* block
        if width != self.features or out.shape[0] != rows:
            raise ValueError(f"expected (rows, {self.features}) and (rows,)")
        block = <float*>malloc(ABREAST * (width + 1) * sizeof(float))
        if block == NULL:
            raise MemoryError
        while first < rows:
            abreast = <int>min(<Py_ssize_t>ABREAST, rows - first)
            for row in range(abreast):
                for place in range(width):
                    block[row * (width + 1) + place] = single(table[first + row, place])
                block[row * (width + 1) + width] = NAN
            if abreast == ABREAST:  # a number that the compiler knows
                self.down(block, width + 1, &out[first], ABREAST)
            else:
                self.down(block, width + 1, &out[first], abreast)
            first += abreast
        free(block)

    cdef inline void down(self, const float* block, Py_ssize_t width, float* out, const int rows) noexcept:
        cdef uint32_t[ABREAST] at
        cdef const Node* nodes
        cdef const Node* node
        cdef float value
        cdef int number, row, level
        for row in range(rows):
            out[row] = self.base
        for number in range(self.count):
            nodes = &self.nodes[self.trees[number].root]
            for row in range(rows):
                at[row] = 0
            for level in range(self.trees[number].depth):
                for row in range(rows):
                    node = &nodes[at[row]]
                    value = block[row * width + (node.field >> 1)]
                    at[row] = node.left + ((value >= node.limit) | ((value != value) & node.field & 1))
            for row in range(rows):
                out[row] += nodes[at[row]].limit


def shapley(
    const int32_t[::1] first not None, const double[::1] value not None, const int32_t[::1] feature not None,
    const float[::1] low not None, const float[::1] high not None, const int32_t[::1] missing not None,
    const double[::1] share not None, const double[:, ::1] points not None, const double[:, ::1] gain not None,
    const double[::1] loss not None, const float[:, ::1] table not None, double[:, ::1] out not None,
):
    """What `models.classifiers.shapley._add` does, whose layout it trusts: at most POINTS points."""
    cdef Ways ways
    cdef Py_ssize_t row
    if not value.shape[0] or not feature.shape[0]:
        return
    ways = Ways(
        &first[0], &value[0], value.shape[0], &feature[0], &low[0], &high[0], &missing[0], &share[0],
        &points[0, 0], &points[1, 0], &gain[0, 0], &loss[0],
    )
    for row in range(table.shape[0]):
        # With a number that the compiler knows it needs no loop: 3 points are enough for trees of depth 5 and 6.
        if points.shape[1] == 3:
            add(&ways, 3, &table[row, 0], &out[row, 0])
        else:
            add(&ways, <int>points.shape[1], &table[row, 0], &out[row, 0])


cdef struct Ways:
    const int32_t* first
    const double* value
    Py_ssize_t leaves
    const int32_t* feature
    const float* low
    const float* high
    const int32_t* missing
    const double* share
    const double* at
    const double* rest
    const double* gain
    const double* loss


cdef inline void add(const Ways* ways, const int count, const float* row, double* out) noexcept:
    cdef double[MOST_POINTS] product
    cdef double[MOST_TERMS] met
    cdef double here, total
    cdef float given
    cdef int32_t term, begin, end
    cdef Py_ssize_t leaf
    cdef int point
    for leaf in range(ways.leaves):
        begin, end = ways.first[leaf], ways.first[leaf + 1]
        for point in range(count):
            product[point] = 1.0
        for term in range(begin, end):
            given = row[ways.feature[term]]
            here = ((given >= ways.low[term]) & (given < ways.high[term])) | ((given != given) & ways.missing[term])
            met[term - begin] = here
            for point in range(count):
                product[point] *= ways.share[term] * ways.rest[point] + here * ways.at[point]
        for term in range(begin, end):
            here, total = met[term - begin], 0.0
            for point in range(count):
                total += product[point] * (ways.loss[point] + here * ways.gain[term * count + point])
            out[ways.feature[term]] += ways.value[leaf] * total


cdef inline float single(double value) noexcept:
    return <float>value if fabs(value) <= REACH else <float>NAN
