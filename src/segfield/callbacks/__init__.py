"""One file per callback; only what Lightning lacks or does not do exactly."""
