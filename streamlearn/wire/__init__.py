"""How samples, results and questions travel: format, sockets, control."""
