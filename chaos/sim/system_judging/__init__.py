"""What must hold in every history of the simulated system, judged by nothing but the history."""
