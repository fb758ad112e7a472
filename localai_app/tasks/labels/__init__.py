"""What classifying needs: names, shares, and the passage that speaks for a label."""
