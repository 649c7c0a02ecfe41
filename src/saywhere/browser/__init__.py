"""A page that annotates in the browser alone: a folder of static files, with the network inside."""
