"""What air means to people: indices by region, the means they want, the correction of low-cost sensors. Pure."""
