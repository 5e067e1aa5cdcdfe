"""How good and how fast detection is: figures by `make bench ARGS=detection`."""
