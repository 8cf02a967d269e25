"""`make sweep`: designs through balancing, compiler, cycle and energy model, spot-checked in RTL."""
