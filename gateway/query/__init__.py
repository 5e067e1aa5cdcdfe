"""Asking the database: InfluxQL, which 1.x, 2.x and 3 all understand."""
