"""What is watched: twelve questions, and the alert rules and the dashboard that follow from them."""
