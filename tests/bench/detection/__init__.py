"""How good and how fast detection is: figures by `make bench ARGS=detection`.

Real data are no part of the project: they are looked for in `shared/` beside it (`shared/data`, `shared/score`), and
what needs them is left out, with a word, where they are not.
"""
