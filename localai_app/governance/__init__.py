"""What an organisation requires: policy, audit, keys."""
