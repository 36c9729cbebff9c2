"""The rfp service: a request is drafted from a closed group, described, listed, issued, qualified, and ends."""
