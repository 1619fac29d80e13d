"""What this project measures of itself, as ratios within one run: `python -m benchmarks`."""
