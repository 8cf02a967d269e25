"""The Verilated array: built, driven, and held to the models, spike by spike and cycle by cycle."""
