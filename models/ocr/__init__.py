"""Trust in OCR readings: how likely a reading is wrong, from its confidence and from what is known of meter or gate.

See docs/ocr.md.
"""
