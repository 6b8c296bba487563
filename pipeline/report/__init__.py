"""report.html: one page about a video that needs nothing but itself. It shows what the stages wrote, and computes no
figure of its own."""
