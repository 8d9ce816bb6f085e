"""What the parameters of a network are: the operator of each, and the head."""

from isometry.weights.head import Head, find_head, matches
from isometry.weights.operators import Operator, by_shape, has_matrix, marked, split
from isometry.weights.rules import Place, packed, register
from isometry.weights.survey import Weight, adapters_of, operator_of, weights_of
from isometry.weights.table import Row, Table

__all__ = [
    "Head",
    "Operator",
    "Place",
    "Row",
    "Table",
    "Weight",
    "adapters_of",
    "by_shape",
    "find_head",
    "has_matrix",
    "marked",
    "matches",
    "operator_of",
    "packed",
    "register",
    "split",
    "weights_of",
]
