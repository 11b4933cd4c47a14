"""What every process needs: start-up, logs, trace ids, health, the interpreter and file handles."""
