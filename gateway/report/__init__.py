"""The week of a site as one page, with figures, plots and sentences."""
