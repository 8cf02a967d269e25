"""Software side of uTicket: networks, training, pruning, balancing, quantization, tickets."""
