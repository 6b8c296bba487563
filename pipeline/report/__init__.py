"""report.html: one page about a video that needs nothing but itself."""
