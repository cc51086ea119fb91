"""What runs beside clients' exchanges and must never be felt by them."""
