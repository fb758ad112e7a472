"""What summarising needs: points, and how the model is asked for them."""
