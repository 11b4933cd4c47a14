"""What every request passes: middleware, bounds on input and slow work, problem details, page fragments."""
