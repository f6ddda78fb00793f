"""Speed: measured here, asserted nowhere."""
