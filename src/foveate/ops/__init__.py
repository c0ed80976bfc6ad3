"""Pure tensor operators and small modules without a paper of their own."""
