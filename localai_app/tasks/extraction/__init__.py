"""What extracting needs: the schema, what the model is asked, what it wrote looked up and put together."""
