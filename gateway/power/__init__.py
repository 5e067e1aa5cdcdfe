"""How long a node lives on a battery: a model out of datasheets, others' measurements and what our firmware does."""
