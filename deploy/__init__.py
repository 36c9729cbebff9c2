"""How Linepool is deployed: access rules, the stack on one machine, the image, the chart."""
