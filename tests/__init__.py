"""Tests of everything but the RTL, which is tested in tb/."""
