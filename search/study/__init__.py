"""The study: the loop, where trials come from, when they are tried again, what is verified, how long it may take."""
