"""The report: a board, its studies and the test images in; one HTML text out. No engine, no executor, no Keras."""
