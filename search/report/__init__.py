"""The HTML report, made from a board, its studies and the test images."""
