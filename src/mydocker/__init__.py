"""mydocker: a Linux container runtime that can show every kernel step it takes."""

__version__ = "0.1.0"
