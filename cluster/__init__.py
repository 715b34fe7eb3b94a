"""How it runs: the command line, the two runners, and what happens around a run."""
