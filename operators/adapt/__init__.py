"""Maps from one model's space to another's, and how well two models' vectors work together."""
