"""The Faust app: one module per domain agent, and `streams.runtime`, the frame engine under them."""
