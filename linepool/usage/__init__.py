"""Where usage comes from: a CSV file, or a public data set, and how lines are spread over buyers."""
