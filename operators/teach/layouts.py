"""Which tokens see which where a query and several candidates share one pass (Uni-Encoder).

Segment 0 is the query, segment i its i-th candidate. Every layout lets a token see its own segment.
"""

from typing import Literal

Layout = Literal["isolated", "diag", "arrow", "square"]
"""`isolated`: candidates see the query, which sees itself alone. `diag`: nobody sees another.
`arrow`: candidates see the query, which sees all. `square`: all see all.
"""

WHOLE: frozenset[Layout] = frozenset({"arrow", "square"})
"""Layouts where a candidate's logit depends on the others, so a query's list is never cut."""
