"""What asking each document needs: reading for sentences that help, and values in an answer."""
