"""What may be asked and spent: limits by scope, held before every attempt and settled by its booked cost."""
