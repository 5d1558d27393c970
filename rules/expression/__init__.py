"""Expressions over tags: a small typed language of our own, described in `rules/README.md`. Pure.

    text --parse--> tree --settle, against the tags--> typed tree --compile--> a closure over the tags' values

What an expression can cost is known before it runs: it is not longer, deeper or larger than the caps in `tree`, and
each node of the tree is visited once at most when it is evaluated.
"""

from __future__ import annotations

from rules.expression.compiler import Evaluate, build
from rules.expression.kind import Kind, Sort, settle
from rules.expression.parser import parse
from rules.expression.tree import Expression, ExpressionError

__all__ = ["Evaluate", "Expression", "ExpressionError", "Kind", "Sort", "build", "parse", "settle"]
