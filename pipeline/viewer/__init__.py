"""exports/viewer.html: one page a person, their avatar drawn and moved in the browser, without a network."""
