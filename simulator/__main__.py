"""`python -m simulator --venue recorded --port 8801`."""

import argparse

from .command import add_arguments, run

parser = argparse.ArgumentParser(prog="simulator")
add_arguments(parser)
run(parser.parse_args())
