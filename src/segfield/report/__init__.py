"""The page of an audit: facts and arrays in, one HTML file out that needs nothing else, no network, no script."""
